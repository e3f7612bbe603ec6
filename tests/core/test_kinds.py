"""The kinds of DESIGN.md beyond the plain overwrite, as values: hijacked, source-missing, options, and more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taowatch.core import effects, events
from taowatch.core.config import BLOCK, RESTORE, Config
from taowatch.core.jobs import Container, Launcher
from taowatch.core.model import Owner, Project
from taowatch.core.state import State, step
from tests.core.scenes import CONTAINER_ID, FILE, A, B, changed, container, launcher, play, running

A_OWN, B_OWN = "/state/mounts/a.json", "/state/mounts/b.json"
TLT = "/home/u/.tlt_mounts.json"
ISOLATED = (
    Project("/home/u/a", "a", "/home/u/a/a.ipynb", "local", True, A_OWN),
    Project("/home/u/b", "b", "/home/u/b/b.ipynb", "local", True, B_OWN),
    Project("/home/u/c", "c", None, "local", True),
)
WAITING = replace(launcher(2.0), container=None)


def kinds(state: State) -> set[tuple[str, str | None]]:
    return {(c.kind, c.destination) for c in state.conflicts}


def lost(*folders: str) -> events.FoldersChanged:
    return events.FoldersChanged(frozenset(folders), frozenset(folders))


def in_project(directory: str, mounts_file: str | None, pid: int = 77, **more: object) -> Launcher:
    owner = Owner(directory, f"{directory}/{directory[-1]}.ipynb", pid)
    return replace(WAITING, pid=pid, cwd=directory, mounts_file=mounts_file, owner=owner, **more)  # type: ignore[arg-type]


SOURCES = [
    ("a held folder is gone", (lost("/home/u/a/specs"),), {("source-missing", "/s")}),
    ("a folder of nobody is gone", (lost("/home/u/other"),), set()),
    ("gone, and the file is invalid for that alone", (lost("/home/u/a/specs"), "invalid"), {("source-missing", "/s")}),
    ("gone and back", (lost("/home/u/a"), lost()), set()),
    ("gone, then the job ends", (lost("/home/u/a"), events.ContainerEnded(CONTAINER_ID)), set()),
]


@pytest.mark.parametrize(("name", "later", "expected"), SOURCES, ids=[row[0] for row in SOURCES])
def test_lost_sources(name: str, later: tuple[object, ...], expected: set[tuple[str, str]]) -> None:
    awaiting = replace(changed(A, 9.0, error="the source is gone"), awaits=("/home/u/a/specs",))
    happened = [awaiting if event == "invalid" else event for event in later]
    state, _ = play(*running(), *happened)  # type: ignore[arg-type]
    assert kinds(state) == expected
    assert {c.severity for c in state.conflicts} <= {"critical"}


def test_a_lost_folder_is_told_with_what_is_at_stake() -> None:
    state, _ = play(*running(), lost("/home/u/a/specs"))
    (alert,) = state.alerts.values()
    assert "~/a/specs (/s) was deleted, moved or replaced" in alert.body
    assert [key for key, _ in alert.actions] == ["keep"], "no mapping brings a folder back"


def test_a_file_is_read_again_when_a_folder_that_it_names_comes_or_goes() -> None:
    state, _ = play(changed(A, 1.0))
    _, done = step(state, lost("/home/u/a"), 2.0)
    assert effects.ReadAgain(FILE) in done
    _, done = step(state, lost("/home/u/elsewhere"), 2.0)
    assert not [effect for effect in done if isinstance(effect, effects.ReadAgain)]


def test_other_options_are_shown_and_disturb_nobody() -> None:
    state, done = play(*running(), changed(A, 9.0, options="DockerOptions.user"))
    assert kinds(state) == {("options", None)}
    assert [c.severity for c in state.conflicts] == ["info"]
    assert "DockerOptions.user" in state.conflicts[0].message
    assert state.alerts == {}
    assert not [effect for effect in done if isinstance(effect, (effects.Notify, effects.ShowAtPrompt))]


def test_options_of_a_job_that_nobody_saw_start_are_not_compared() -> None:
    state, _ = step(State(FILE, "/home/u", docker="connected"), changed(A, 5.0), 6.0)
    state, _ = step(state, events.ContainerSeen(container(A), launcher(2.0)), 7.0)
    state, _ = step(state, changed(A, 9.0, options="DockerOptions.user"), 9.0)
    assert state.conflicts == ()


def test_a_launcher_with_the_mounts_file_of_another_project_is_misled() -> None:
    # The files of the two are read once they are watched, which is when a job needs them.
    seen = events.LaunchersSeen((in_project("/home/u/b", A_OWN),))
    own = (changed(A, 0.5, path=A_OWN), changed(B, 0.6, path=B_OWN))
    state, done = play(events.ProjectsRead(ISOLATED), changed(B, 0.5), seen)
    assert effects.WatchFiles((FILE, TLT, A_OWN, B_OWN)) in done
    state, _ = play(*own, state=state)
    assert kinds(state) == {("hijacked", "/w"), ("hijacked", "/s")}
    (alert,) = state.alerts.values()
    assert "inherited LAUNCHER_MOUNTS of another project" in alert.body
    assert "env -u LAUNCHER_MOUNTS" in alert.body
    assert [key for key, _ in alert.actions] == ["keep"]
    started, _ = play(
        events.ContainerSeen(container(A), replace(in_project("/home/u/b", A_OWN), container=CONTAINER_ID)), state=state
    )
    assert kinds(started) == {("hijacked", "/w"), ("hijacked", "/s")}
    (alert,) = started.alerts.values()
    assert f"docker stop {CONTAINER_ID[:12]}" in alert.body


NOT_MISLED = [
    ("in its project", in_project("/home/u/a", A_OWN)),
    ("in a folder of its project", in_project("/home/u/a/sub", A_OWN)),
    ("the file is nobody's", in_project("/home/u/b", "/home/u/mine.json")),
    ("chosen by taowatch run", in_project("/home/u/b", A_OWN, deliberate=True)),
    ("no LAUNCHER_MOUNTS", in_project("/home/u/b", None)),
]


@pytest.mark.parametrize(("name", "started"), NOT_MISLED, ids=[row[0] for row in NOT_MISLED])
def test_who_is_not_misled(name: str, started: Launcher) -> None:
    start = (events.ProjectsRead(ISOLATED), changed(B, 0.5), changed(A, 0.5, path=A_OWN))
    state, _ = play(*start, events.LaunchersSeen((started,)))
    assert state.conflicts == ()


def test_a_job_is_compared_with_the_file_that_it_was_started_from() -> None:
    start = (events.ProjectsRead(ISOLATED), changed(A, 0.5), changed(A, 0.5, path=A_OWN))
    job = replace(in_project("/home/u/a", A_OWN), container=CONTAINER_ID)
    state, _ = play(*start, events.ContainerSeen(container(A), job), changed(B, 9.0))
    assert state.conflicts == (), "the common file is not its file"
    state, _ = play(changed(B, 10.0, path=A_OWN), state=state)
    assert kinds(state) == {("remapped", "/w"), ("removed", "/s")}


def test_the_file_of_a_job_is_watched_as_long_as_it_lives() -> None:
    state, _ = play(changed(A, 0.5))
    state, done = step(state, events.LaunchersSeen((in_project("/home/u/a", "/elsewhere.json"),)), 3.0)
    assert effects.WatchFiles((FILE, TLT, "/elsewhere.json")) in done
    state, done = step(state, events.LauncherEnded(77), 4.0)
    assert effects.WatchFiles((FILE, TLT)) in done


def test_an_old_launcher_falls_back_to_the_older_file() -> None:
    old = replace(WAITING, arguments=("dino", "train"))
    start = (changed(None, 0.5), changed(A, 0.6, path=TLT), events.LaunchersSeen((old,)))
    state, _ = play(*start, changed(B, 9.0, path=TLT))
    assert [job.mounts_file for job in state.jobs] == [TLT]
    assert kinds(state) == {("hijacked", "/w"), ("hijacked", "/s")}
    state, _ = play(changed(None, 0.5), changed(A, 0.6, path=TLT), events.LaunchersSeen((WAITING,)))
    assert [job.mounts_file for job in state.jobs] == [FILE], "launchers of 5.x and newer do not"


def test_the_engine_found_and_lost_does_not_end_a_job_nor_tell_its_conflict_twice() -> None:
    state, _ = play(events.EngineLost("gone"), changed(A, 1.0), events.LaunchersSeen((launcher(2.0),)), changed(B, 9.0))
    (before,) = state.alerts
    for event in (
        events.EngineConnected(),
        events.ContainersListed(((container(A), launcher(2.0)),)),
        events.EngineLost("gone"),
    ):
        state, done = step(state, event, 10.0)
        assert list(state.alerts) == [before]
        assert not [e for e in done if isinstance(e, effects.Withdraw)]
        assert not [e for e in done if isinstance(e, effects.Log) and "ended" in e.text]


def two_jobs() -> State:
    other = Container("d" * 64, "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt", 6.0, tuple(sorted(B.items())))
    state, _ = play(
        *running(), changed(B, 4.0), events.ContainerSeen(other, replace(launcher(5.0), pid=78, container="d" * 64))
    )
    return state


def test_two_jobs_that_hold_different_mappings_are_each_told_once() -> None:
    state = two_jobs()
    assert {c.job for c in state.conflicts} == {CONTAINER_ID[:12]}
    state, _ = play(changed({"/w": "/home/u/third"}, 9.0), state=state)
    assert {alert.key for alert in state.alerts.values()} == {"pid-77", "pid-78"}
    assert all("2 jobs are hit" in alert.body for alert in state.alerts.values())
    ways = {line for alert in state.alerts.values() for line in alert.body.splitlines() if "put it back" in line}
    assert ways == {"To put it back: taowatch restore 1", "To put it back: taowatch restore 2"}


def test_restore_puts_back_at_once_and_never_fights() -> None:
    # The table of one user's patience: what was written when, and whether taowatch answers.
    state, _ = play(events.ConfigRead(Config(on_conflict=RESTORE)), *running())
    answers = []
    for number, at in enumerate((10.0, 12.0, 14.0, 100.0)):
        state, done = step(state, changed({"/w": f"/home/u/{number}"}, at), at)
        restores = [e for e in done if isinstance(e, effects.Restore)]
        kept = [n for n, e in enumerate(done) if isinstance(e, effects.KeepRevision)]
        answers.append([e.revision for e in restores])
        if restores:
            assert kept, "what is replaced is kept"
            assert done.index(restores[0]) > kept[0], "and before it is replaced"
            assert [alert.severity for alert in state.alerts.values()] == ["info"]
        state, _ = step(state, changed(A, at + 1), at + 1)
        assert state.conflicts == ()
    assert answers == [[1], [1], [], [1]]


def test_when_taowatch_gives_up_it_says_so() -> None:
    state, _ = play(events.ConfigRead(Config(on_conflict=RESTORE)), *running())
    for at in (10.0, 12.0):
        state, _ = step(state, changed(B, at), at)
        state, _ = step(state, changed(A, at + 1), at + 1)
    state, _ = step(state, changed(B, 14.0), 14.0)
    (alert,) = state.alerts.values()
    assert alert.severity == "critical"
    assert "twice within a minute already" in alert.body


def test_a_restore_that_fails_is_a_conflict_again() -> None:
    state, _ = play(events.ConfigRead(Config(on_conflict=RESTORE)), *running())
    state, _ = step(state, changed(B, 10.0), 10.0)
    (notice,) = state.alerts
    state, _ = step(state, events.RestoreFailed(notice, "the disk is full"), 11.0)
    assert [alert.severity for alert in state.alerts.values()] == ["critical"]


def test_of_two_jobs_none_is_helped_at_the_cost_of_the_other() -> None:
    state, _ = play(events.ConfigRead(Config(on_conflict=RESTORE)), state=two_jobs())
    state, done = step(state, changed({"/w": "/home/u/third"}, 9.0), 9.0)
    assert not [e for e in done if isinstance(e, effects.Restore)]
    assert {alert.severity for alert in state.alerts.values()} == {"critical"}


def test_block_protects_a_file_while_it_is_right() -> None:
    def protected(happened: events.Event) -> list[tuple[str, ...]]:
        nonlocal state
        state, done = step(state, happened, 9.0)
        return [e.paths for e in done if isinstance(e, effects.Protect)]

    state, _ = play(events.ConfigRead(Config(on_conflict=BLOCK)), changed(A, 1.0))
    assert protected(events.ContainerSeen(container(A), launcher(2.0))) == [(FILE,)]
    assert protected(changed(B, 9.0)) == [()], "a file renamed over it is given back, so that it can be mended"
    assert protected(changed(A, 10.0)) == [(FILE,)]
    assert protected(events.ContainerEnded(CONTAINER_ID)) == [()]


def test_the_users_command_gets_each_conflict_once() -> None:
    state, _ = play(events.ConfigRead(Config(command=("tell-me",))), *running())
    state, done = step(state, changed(B, 9.0), 9.0)
    (run,) = [e for e in done if isinstance(e, effects.RunCommand)]
    assert run.command == ("tell-me",)
    assert {c["kind"] for c in run.document["conflicts"]} == {"remapped", "removed"}
    assert run.document["job"]["id"] == CONTAINER_ID[:12]
    _, done = step(state, lost("/home/u/elsewhere"), 10.0)
    assert not [e for e in done if isinstance(e, effects.RunCommand)]


def test_the_own_file_of_a_project_follows_its_notebook() -> None:
    state, _ = play(events.ProjectsRead(ISOLATED))
    for binds, own in ((A, A_OWN), (B, B_OWN)):
        _, done = step(state, changed(binds, 3.0), 3.0)
        assert [e.path for e in done if isinstance(e, effects.FollowMapping)] == [own]
    _, done = step(state, changed({"/w": "/home/u/c"}, 3.0), 3.0)
    assert not [e for e in done if isinstance(e, effects.FollowMapping)], "c has no file of its own"


def test_what_a_moved_in_file_says_of_its_age_is_not_believed() -> None:
    # Written at 1.5 elsewhere, moved here at 3.0, after the launcher started at 2.0: not what the launcher was given.
    state, _ = play(changed(A, 1.0), changed({"/w": "/x"}, 1.2))
    state, _ = step(state, changed(B, 0.9), 3.0)
    state, _ = step(state, events.LaunchersSeen((WAITING,)), 3.1)
    assert dict(state.jobs[0].holds) == {"/w": "/x"}
    assert {c.kind for c in state.conflicts} == {"hijacked"}


def test_a_container_for_which_a_launcher_may_wait_is_not_guessed_by_its_binds() -> None:
    # Found by an evening of work: for a moment the training on its own file looked like one on the common file.
    start = (events.ProjectsRead(ISOLATED), changed(A, 0.5), changed(A, 0.5, path=A_OWN))
    own = in_project("/home/u/a", A_OWN)
    state, _ = play(*start, events.LaunchersSeen((own,)), events.ContainerSeen(container(A), None), changed(B, 9.0))
    assert state.conflicts == ()
    state, _ = play(events.ContainerSeen(container(A), replace(own, container=CONTAINER_ID)), state=state)
    assert [(job.id, job.mounts_file) for job in state.jobs] == [(CONTAINER_ID[:12], A_OWN)]
    assert state.conflicts == ()


def test_a_container_is_known_by_its_binds_once_no_launcher_waits() -> None:
    state, _ = play(changed(A, 1.0), events.LaunchersSeen((WAITING,)), events.ContainerSeen(container(A), None))
    assert [job.id for job in state.jobs] == ["pid-77"]
    state, _ = step(state, events.LauncherEnded(77), 9.0)
    assert [job.id for job in state.jobs] == [CONTAINER_ID[:12]]


# --- found by reviews: each was wrong once


def test_a_shared_data_set_does_not_make_a_mapping_another_projects() -> None:
    state, _ = play(events.ProjectsRead(ISOLATED))
    _, done = step(state, changed({"/w": "/home/u/elsewhere", "/data": "/home/u/a/data"}, 3.0), 3.0)
    assert not [e for e in done if isinstance(e, effects.FollowMapping)]


def test_what_was_known_of_an_unwatched_file_counts_no_more() -> None:
    first = in_project("/home/u/a", A_OWN)
    state, _ = play(events.ProjectsRead(ISOLATED), changed(B, 0.5), events.LaunchersSeen((first,)))
    state, _ = play(changed(A, 1.0, path=A_OWN), events.LauncherEnded(77), state=state)
    assert A_OWN not in state.files
    # Meanwhile its notebook maps another folder; the next job starts on that, which is right.
    second = replace(first, pid=78, started_at=20.0)
    state, _ = step(state, events.LaunchersSeen((second,)), 20.1)
    state, _ = step(state, changed({"/w": "/home/u/a", "/s": "/home/u/a/new"}, 15.0, path=A_OWN), 20.2)
    assert state.conflicts == ()
    assert dict(state.jobs[0].holds) == {"/w": "/home/u/a", "/s": "/home/u/a/new"}


def test_a_restore_that_was_overtaken_is_told() -> None:
    state, _ = play(events.ConfigRead(Config(on_conflict=RESTORE)), *running())
    state, _ = step(state, changed(B, 10.0), 10.0)
    assert [alert.severity for alert in state.alerts.values()] == ["info"]
    # Another cell wrote the same content again before anybody read what taowatch had put back.
    state, _ = step(state, events.Restored(FILE), 10.1)
    assert "critical" in {alert.severity for alert in state.alerts.values()}


def test_a_link_that_was_turned_before_the_launcher_started_is_no_hijack() -> None:
    state, _ = play(changed(A, 1.0))
    state, _ = step(state, events.LaunchersSeen((replace(WAITING, started_at=5.0),)), 5.1)
    turned = replace(changed(A, 1.0), mapping=changed(B, 1.0).mapping, changed_at=4.0)
    state, _ = step(state, turned, 5.2)
    assert dict(state.jobs[0].holds) == B
    assert state.conflicts == ()


def test_volumes_replace_the_mount_of_their_source() -> None:
    given = {"/w": "/home/u/a", "/s2": "/home/u/a/specs"}
    job = launcher(2.0, "--volume", "/home/u/a/specs:/s2")
    state, _ = play(changed(A, 1.0), events.ContainerSeen(container(given), job))
    assert state.conflicts == ()


def test_without_an_engine_a_hijack_stays_one_once_the_task_runs() -> None:
    start = (events.EngineLost("gone"), changed(A, 1.0), events.LaunchersSeen((WAITING,)), changed(B, 3.0))
    state, _ = play(*start, events.LaunchersSeen((launcher(2.0),)))
    assert {c.kind for c in state.conflicts} == {"hijacked"}
    state, _ = play(changed(A, 4.0), state=state)
    assert {c.kind for c in state.conflicts} == {"hijacked"}, "the file is right again, the job is not"


def test_a_launcher_that_stops_its_container_does_not_wait_for_another() -> None:
    start = (events.EngineLost("gone"), changed(A, 1.0), events.LaunchersSeen((launcher(2.0),)))
    state, _ = play(*start, events.LaunchersSeen((WAITING,)), changed(B, 3.0))
    assert {c.kind for c in state.conflicts} == {"remapped", "removed"}


def test_a_file_that_was_renamed_here_while_nobody_looked_is_not_as_old_as_it_says() -> None:
    state = State(FILE, "/home/u", docker="connected")
    state, _ = step(state, replace(changed(B, 1.0), changed_at=8.0), 10.0)
    state, _ = step(state, events.ContainerSeen(container(A), launcher(5.0)), 10.1)
    assert {c.kind for c in state.conflicts} == {"remapped", "removed"}


def test_a_task_shows_which_container_is_its_own() -> None:
    state, _ = play(changed(A, 1.0), events.ContainerSeen(container(A), None), events.LaunchersSeen((launcher(2.0),)))
    assert [job.id for job in state.jobs] == [CONTAINER_ID[:12]]
    assert [job.pid for job in state.jobs] == [77]


def test_of_the_fitting_revisions_the_fullest_says_what_a_container_holds() -> None:
    state, _ = play(changed(A, 1.0), changed({"/w": "/home/u/a"}, 2.0), events.ContainerSeen(container(A), None))
    assert dict(state.jobs[0].holds) == A


def test_a_shared_folder_does_not_make_somebody_elses_container_ours() -> None:
    theirs = container({"/data": "/raid/data", "/w": "/home/other/x"})
    state, _ = play(changed({"/data": "/raid/data"}, 1.0), changed(A, 2.0), events.ContainerSeen(theirs, None))
    assert state.jobs == ()


def test_the_common_file_takes_over_from_the_older_one() -> None:
    old = replace(WAITING, arguments=("dino", "train"), container=CONTAINER_ID)
    start = (changed(None, 0.5), changed(A, 0.6, path=TLT), events.ContainerSeen(container(A), old))
    state, _ = play(*start, changed(B, 9.0))
    assert kinds(state) == {("remapped", "/w"), ("removed", "/s")}


def test_a_protected_file_that_is_replaced_is_protected_again() -> None:
    state, _ = play(events.ConfigRead(Config(on_conflict=BLOCK)), *running())
    _, done = step(state, replace(changed(A, 9.0), digest="other white space"), 9.0)
    assert effects.Protect((FILE,)) in done


def test_a_change_right_after_the_start_is_a_hijack() -> None:
    # The clocks behind process and file differ by a few milliseconds; what was seen before the change decides.
    state, _ = play(changed(A, 1.0))
    state, _ = step(state, events.LaunchersSeen((replace(WAITING, started_at=5.0),)), 5.005)
    state, _ = step(state, changed(B, 5.01), 5.012)
    assert {c.kind for c in state.conflicts} == {"hijacked"}
