"""The heart as values: what happens in which order, and what taowatch makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taowatch.core import effects, events
from taowatch.core.owner import Kernel
from taowatch.core.state import step
from tests.core.scenes import CONTAINER_ID, FILE, A, B, changed, container, launcher, play, running

TABLE = [
    ("nothing happened", (), set()),
    ("the same mapping again", (changed(dict(reversed(A.items())), 9.0),), set()),
    ("a mount beside", (changed({**A, "/more": "/home/u/more"}, 9.0),), set()),
    ("another source", (changed({**A, "/w": "/home/u/b"}, 9.0),), {("remapped", "/w")}),
    ("another project", (changed(B, 9.0),), {("remapped", "/w"), ("removed", "/s")}),
    ("no file", (changed(None, 9.0),), {("removed", "/w"), ("removed", "/s")}),
    ("a broken file", (changed(A, 9.0, error="not JSON"),), {("invalid", None)}),
    ("another project, then back", (changed(B, 9.0), changed(A, 10.0)), set()),
    ("another project, then the end", (changed(B, 9.0), events.ContainerEnded(CONTAINER_ID)), set()),
    (
        "another project, engine gone",
        (changed(B, 9.0), events.EngineLost("gone")),
        {("remapped", "/w"), ("removed", "/s")},
    ),
    (
        "another project, engine gone, launcher ended",
        (changed(B, 9.0), events.EngineLost("gone"), events.LauncherEnded(77)),
        set(),
    ),
    ("a listing without it", (changed(B, 9.0), events.ContainersListed(())), set()),
]


@pytest.mark.parametrize(("name", "later", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_verdicts_on_a_running_job(name: str, later: tuple[events.Event, ...], expected: set[tuple[str, str]]) -> None:
    state, _ = play(*running(), *later)
    assert {(c.kind, c.destination) for c in state.conflicts} == expected
    assert bool(state.alerts) == bool(expected)


def test_extra_volumes_are_no_conflict() -> None:
    state, _ = play(*running({**A, "/x": "/home/u/x"}, "--volume", "/home/u/x:/x"), changed(A, 9.0))
    assert state.conflicts == ()


def test_a_container_that_nobody_of_us_started_is_no_job() -> None:
    state, _ = play(changed(A, 1.0), events.ContainerSeen(container({"/w": "/home/other/a"}), None))
    assert state.jobs == ()


def test_a_container_with_the_binds_of_a_revision_is_ours() -> None:
    state, _ = play(changed(A, 1.0), changed(B, 5.0), events.ContainerSeen(container(A), None))
    assert [job.holds for job in state.jobs] == [tuple(sorted(A.items()))]
    assert {c.kind for c in state.conflicts} == {"remapped", "removed"}


def test_a_launcher_that_waits_is_warned() -> None:
    waiting = replace(launcher(2.0), container=None)
    state, done = play(changed(A, 1.0), events.LaunchersSeen((waiting,)), changed(B, 3.0))
    assert {(c.kind, c.destination) for c in state.conflicts} == {("hijacked", "/w"), ("hijacked", "/s")}
    (alert,) = state.alerts.values()
    assert "put the mapping back: taowatch restore 1; or stop it: kill 77" in alert.body
    assert any(isinstance(effect, effects.Notify) for effect in done)


def test_a_job_on_the_wrong_folders_is_said_until_it_ends() -> None:
    waiting = replace(launcher(2.0), container=None)
    story: tuple[events.Event, ...] = (
        changed(A, 1.0),
        events.LaunchersSeen((waiting,)),
        changed(B, 3.0),
        events.ContainerSeen(container(B, 4.0), launcher(2.0)),
    )
    state, _ = play(*story)
    assert len(state.jobs) == 1, "the waiting launcher and the container are one job"
    (alert,) = state.alerts.values()
    assert f"docker stop {CONTAINER_ID[:12]}" in alert.body
    restored, _ = play(changed(A, 5.0), state=state)
    assert {c.kind for c in restored.conflicts} == {"hijacked"}, "the file is right again, the job is not"
    ended, _ = play(events.ContainerEnded(CONTAINER_ID), state=restored)
    assert ended.conflicts == ()


def test_the_culprit_is_the_kernel_beside_the_sources() -> None:
    kernels = (
        Kernel(5, 0.0, "/home/u/a", "/home/u/a/a.ipynb"),
        Kernel(6, 1.0, "/home/u/b", "/home/u/b/b.ipynb"),
        Kernel(7, 2.0, "/home/u", None),
    )
    state, done = play(*running(), replace(changed(B, 9.0), kernels=kernels))
    assert state.files[FILE].owner.notebook == "/home/u/b/b.ipynb"
    (notify,) = [effect for effect in done if isinstance(effect, effects.Notify)]
    assert "b.ipynb (pid 6)" in notify.alert.body


def test_restore_names_the_revision_that_the_job_holds() -> None:
    state, _ = play(*running(), changed(B, 9.0))
    _, done = step(state, events.ActionChosen("pid-77", "restore"), 10.0)
    assert effects.Restore(1, "pid-77") in done


def test_what_is_kept_is_told_no_more_until_it_changes() -> None:
    state, _ = play(*running(), changed(B, 9.0))
    kept, done = play(events.ActionChosen("pid-77", "keep"), state=state)
    assert effects.Withdraw("pid-77") in done
    assert kept.conflicts
    assert kept.alerts == {}
    third, _ = play(changed({"/w": "/home/u/third"}, 11.0), state=kept)
    assert third.alerts


_binds = st.dictionaries(st.sampled_from(["/w", "/s", "/d"]), st.sampled_from(["/a", "/b", "/c"]), max_size=3).filter(
    lambda binds: len(set(binds.values())) == len(binds)  # the launcher keeps one destination for a source
)


@given(_binds.filter(bool), st.lists(_binds, max_size=6))
def test_every_effective_change_is_told_and_every_return_ends_it(
    held: dict[str, str], later: list[dict[str, str]]
) -> None:
    start = (changed(held, 1.0), events.ContainerSeen(container(held), launcher(2.0)))
    state, _ = play(*start)
    for number, binds in enumerate(later):
        state, _ = play(changed(binds, 9.0 + number), state=state)
        lost = {destination for destination, source in held.items() if binds.get(destination) != source}
        assert {c.destination for c in state.conflicts} == lost
    state, _ = play(changed(held, 99.0), state=state)
    assert state.conflicts == ()
    assert state.alerts == {}


def test_a_hostile_notebook_name_cannot_speak_to_the_terminal() -> None:
    kernel = Kernel(6, 1.0, "/home/u/b", "/home/u/b/\x1b[2J\nrm -rf.ipynb")
    state, _ = play(*running(), replace(changed(B, 9.0), kernels=(kernel,)))
    (alert,) = state.alerts.values()
    assert "\x1b" not in alert.body + alert.line + alert.title
    assert "\n" not in alert.line
