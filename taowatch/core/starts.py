"""With which file and mapping a launcher was started."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from taowatch.core.facts import State
from taowatch.core.jobs import RUNNING, Binds, Launcher, Start, is_old, starting_job
from taowatch.core.mapping import Mapping
from taowatch.core.model import MISSING, OK, Job, Owner
from taowatch.core.owner import is_below

_CLOCK_GRAIN = 0.05
"""Seconds. Start times of processes and times of files come from different clocks, in steps of up to 10 ms."""


def waiting_job(state: State, launcher: Launcher, anew: bool = False) -> Job:
    """The job of a launcher whose container is not seen; with `anew`, whatever was found out before is forgotten."""
    job = starting_job(launcher, start_of(state, launcher, anew))
    known = state.launchers.get(launcher.pid)
    if known is None:
        return job
    if known.state == RUNNING:
        # While it stops its container it has no task any more: it does not wait for another one.
        return replace(job, state=RUNNING, got=known.got or job.got)
    if job.state == RUNNING and job.got is None:
        # Its container just came into being, with what the file gives now.
        now = given_now(state, job.mounts_file, job.cwd)
        lost = [bind for bind in job.holds if bind not in now]
        return replace(job, got=now if lost and now else None)
    return job


def is_of_interest(state: State, job: Job, path: str) -> bool:
    """Whether a new look at the file at `path` may say something else of a waiting launcher's start."""
    if job.misled == path:
        return True
    moments = [m for m in state.timeline if m.path == path]
    # What is known already is given up only for what is older than the launcher beyond doubt.
    doubt = -_CLOCK_GRAIN if job.holds else _CLOCK_GRAIN
    return job.mounts_file == path and bool(moments) and moments[-1].since <= job.started_at + doubt


def start_of(state: State, launcher: Launcher, anew: bool = False) -> Start:
    """With which file and mapping a launcher was started; what was found while it started stays true."""
    misled = _misled(state, launcher)
    known = None if anew else state.launchers.get(launcher.pid)
    path = known.mounts_file if known and misled is None else _file_for(state, launcher, misled)
    if known is not None and known.holds and known.mounts_file == path:
        binds: Binds | None = known.holds
        options = known.options
    else:
        mapping = _given_at(state, path, launcher.started_at)
        binds = None if mapping is None else tuple(sorted(mapping.binds(launcher.cwd).items()))
        options = None if mapping is None else mapping.options
    got = given_now(state, misled, launcher.cwd) if misled else None
    file = state.files.get(path)
    return Start(path, binds, options, misled, got, file.mapping.vague() if file else frozenset())


def _file_for(state: State, launcher: Launcher, misled: str | None) -> str:
    """The mounts file that a launcher reads; of one that was misled, the one that it should read."""
    if misled is not None:
        place = _place(launcher.owner, launcher.cwd)
        own = [p for p in state.projects if p.mounts_file and place and is_below(place, p.directory)]
        nearest = max(own, key=lambda p: len(p.directory), default=None)
        return (nearest and nearest.mounts_file) or state.mounts_file
    if launcher.mounts_file is not None:
        return launcher.mounts_file
    common, older = state.files.get(state.mounts_file), state.files.get(state.older_file)
    falls_back = is_old(launcher) and common is not None and common.state == MISSING
    return state.older_file if falls_back and older is not None and older.state != MISSING else state.mounts_file


def _misled(state: State, launcher: Launcher) -> str | None:
    """The mounts file of another project than the one in which it was started, which it inherited."""
    place = _place(launcher.owner, launcher.cwd)
    if launcher.deliberate or launcher.mounts_file is None or place is None:
        return None
    foreign = [p for p in state.projects if p.mounts_file == launcher.mounts_file and not is_below(place, p.directory)]
    return launcher.mounts_file if foreign else None


def _place(owner: Owner, cwd: str | None) -> str | None:
    return posixpath.dirname(owner.notebook) if owner.notebook else cwd


def _given_at(state: State, path: str, at: float) -> Mapping | None:
    """What a file gave at a time; None where nobody watched then, or it gave nothing valid."""
    before = [m for m in state.timeline if m.path == path and m.since <= at + _CLOCK_GRAIN]
    return before[-1].mapping if before else None


def given_now(state: State, path: str, cwd: str | None) -> Binds:
    file = state.files.get(path)
    return tuple(sorted(file.mapping.binds(cwd).items())) if file is not None and file.state == OK else ()
