"""`on_conflict = "restore"`: taowatch puts the mapping of a running job back by itself, but never fights for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from taowatch.core import config, conflict, wording
from taowatch.core.consequences import with_alerts
from taowatch.core.effects import Effect, Log, Restore
from taowatch.core.facts import State
from taowatch.core.model import Job, Revision

PERIOD, AT_MOST = 60.0, 2
"""Within so many seconds at most so many restores: a notebook that insists wins, and its user is told."""

_ANSWERED = ("remapped", "removed")
"""A hijacked job that waits is answered as well, one that runs already cannot be helped by its file."""


def answer(before: State, after: State, now: float) -> tuple[State, list[Effect]]:
    """The state with what the policy makes of new conflicts, and the restores that it asks for."""
    effects: list[Effect] = []
    if after.config.on_conflict != config.RESTORE:
        return after, effects
    for path in _newly_hit(before, after):
        after, more = _put_back(after, path, now)
        effects += more
    return (with_alerts(after) if effects else after), effects


def _newly_hit(before: State, after: State) -> list[str]:
    known = {c.identity for c in before.conflicts}
    hit = {c.key for c in after.conflicts if c.identity not in known and c.kind in (*_ANSWERED, "hijacked")}
    return sorted({job.mounts_file for job in after.jobs if job.key in hit and job.got is None and not job.misled})


def _put_back(state: State, path: str, now: float) -> tuple[State, list[Effect]]:
    jobs = [job for job in state.jobs if job.mounts_file == path and job.holds and job.got is None]
    revision = _fitting_all(jobs, state.revisions)
    recent = tuple(at for at in state.restores if now - at < PERIOD)
    if revision is None:
        return state, [Log(f"{path}: no revision gives every job its folders, so none is put back", warning=True)]
    if len(recent) >= AT_MOST:
        notices = {known: notice for known, notice in state.notices.items() if known != path}
        state = replace(state, gave_up=state.gave_up | {path}, notices=notices)
        return state, [Log(f"{path}: put back {AT_MOST} times within a minute, so now taowatch only warns", True)]
    culprit = wording.who(state.files[path].owner)
    notice = wording.restored(path, jobs[0], culprit, revision, state.home)
    state = replace(
        state,
        restoring=state.restoring | {path},
        restores=(*recent, now),
        notices={**state.notices, path: notice},
    )
    return state, [Log(f"{path}: revision {revision.number} is put back"), Restore(revision.number, notice.key)]


def _fitting_all(jobs: Iterable[Job], revisions: Iterable[Revision]) -> Revision | None:
    """Of two jobs that hold different mappings neither is helped at the cost of the other."""
    jobs = list(jobs)
    candidates = [r for r in revisions if r.binds is not None and all(_fits(r, job) for job in jobs)]
    return max(candidates, key=lambda r: r.number, default=None)


def _fits(revision: Revision, job: Job) -> bool:
    return revision.path == job.mounts_file and conflict.gives(revision.binds or (), job)
