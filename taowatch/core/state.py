"""The heart: step(state, event) -> (state, effects).

An event changes the facts (files, containers, launchers, revisions); jobs, conflicts and alerts follow from the facts;
and the effects are the difference between what followed before and what follows now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from taowatch.core import conflict, events, wording
from taowatch.core.effects import (
    Alert,
    Effect,
    KeepRevision,
    Log,
    Notify,
    Restore,
    ShowAtPrompt,
    WatchLauncher,
    Withdraw,
    WriteStatus,
)
from taowatch.core.jobs import Binds, Container, Launcher, running_job, starting_job
from taowatch.core.mapping import Mapping
from taowatch.core.model import INVALID, MISSING, OK, Conflict, Job, MountsFile, Project, Revision
from taowatch.core.owner import writer_of
from taowatch.core.revisions import thin

CONNECTED = "connected"
_REVISIONS_IN_MEMORY = 200
_MOMENTS_IN_MEMORY = 200
_CLOCK_GRAIN = 0.05
"""Seconds. Start times of processes and times of files come from different clocks, in steps of up to 10 ms."""

Identity = tuple[str, str, str | None, str | None, str | None]


@dataclass(frozen=True)
class Moment:
    """From `since` on (seconds since the epoch), the file at `path` gave `mapping`; None where it was not valid."""

    path: str
    since: float
    mapping: Mapping | None


@dataclass(frozen=True)
class State:
    """All that the daemon knows. The upper half are facts, the lower half follows from them."""

    mounts_file: str
    home: str = ""
    files: dict[str, MountsFile] = field(default_factory=dict)
    revisions: tuple[Revision, ...] = ()
    asked: dict[str, str] = field(default_factory=dict)
    """By mounts file: the digest of the content that was last asked to be kept."""
    timeline: tuple[Moment, ...] = ()
    """What each mounts file gave since when, as far as it was watched: what a launcher was started with."""
    containers: dict[str, Container] = field(default_factory=dict)
    """Running containers of TAO images, ours and others'."""
    contained: dict[str, Job] = field(default_factory=dict)
    """The jobs among them."""
    launchers: dict[int, Job] = field(default_factory=dict)
    """Jobs known from their process alone: they wait for their container, or no engine can be asked."""
    kept: frozenset[Identity] = frozenset()
    """Conflicts for which the user chose Keep: true, but told no more."""
    kept_before: frozenset[Identity] = frozenset()
    """What was kept when an earlier daemon ended; each counts once its conflict is found again."""
    docker: str = "not asked yet"
    notifications: str = "not asked yet"
    projects: tuple[Project, ...] = ()

    jobs: tuple[Job, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    alerts: dict[str, Alert] = field(default_factory=dict)


def step(state: State, event: events.Event, now: float) -> tuple[State, list[Effect]]:
    """What the state becomes through an event at `now` (seconds since the epoch), and what is to be done."""
    facts, effects = _apply(state, event, now)
    after = _follow(facts, now)
    # The warnings first: what is kept on disk can wait for them, they cannot wait for a disk.
    return after, _differences(state, after) + effects


def _apply(state: State, event: events.Event, now: float) -> tuple[State, list[Effect]]:
    match event:
        case events.MappingChanged():
            return _mapping_changed(state, event, now)
        case events.RevisionKept(revision):
            return _revision_kept(state, revision), []
        case events.ContainersListed(listed):
            return _containers_listed(state, listed), []
        case events.ContainerSeen(container, launcher):
            return _container_seen(state, container, launcher), []
        case events.ContainerEnded(id):
            return _container_ended(state, id), []
        case events.LaunchersSeen(launchers):
            return _launchers_seen(state, launchers), []
        case events.LauncherEnded(pid):
            return _launcher_ended(state, pid), []
        case events.EngineConnected():
            return replace(state, docker=CONNECTED), [Log("Docker: connected")]
        case events.EngineLost(reason):
            return replace(state, docker=reason), [Log(f"Docker: {reason}", warning=True)]
        case events.DesktopChanged(text):
            return replace(state, notifications=text), [Log(f"notifications: {text}")]
        case events.ActionChosen(key, action):
            return _action_chosen(state, key, action)
        case events.ProjectsRead(projects):
            return replace(state, projects=projects), []
        case events.RestoreFailed(key, reason):
            return state, _restore_failed(state, key, reason)


def _follow(state: State, now: float) -> State:
    jobs = (*state.contained.values(), *state.launchers.values())
    since = {c.identity: c.since for c in state.conflicts}
    conflicts = tuple(replace(c, since=since.get(c.identity, now)) for c in conflict.find(state.files, jobs))
    found = {c.identity for c in conflicts}
    kept, later = (state.kept | state.kept_before) & found, state.kept_before - found
    state = replace(state, jobs=jobs, conflicts=conflicts, kept=kept, kept_before=later)
    return replace(state, alerts=_alerts(state))


def _differences(before: State, after: State) -> list[Effect]:
    effects: list[Effect] = []
    effects += [Notify(alert) for key, alert in after.alerts.items() if before.alerts.get(key) != alert]
    effects += [Withdraw(key) for key in before.alerts if key not in after.alerts]
    if before.alerts != after.alerts:
        effects.append(ShowAtPrompt(tuple(after.alerts.values())))
    watched = {job.pid for job in before.jobs}
    effects += [WatchLauncher(job.pid) for job in after.jobs if job.pid is not None and job.pid not in watched]
    effects += _log(before, after)
    if before != after:
        effects.append(WriteStatus())
    return effects


def _mapping_changed(state: State, event: events.MappingChanged, now: float) -> tuple[State, list[Effect]]:
    sources = [mount.real_source for mount in event.mapping.mounts]
    owner = writer_of(sources, event.kernels, event.notebooks)
    known = next((r for r in reversed(state.revisions) if r.path == event.path), None)
    # The latest that was asked for counts, not the latest that is on disk yet: in a burst the file may be back at an
    # older content before the newer one was kept, and its return is a revision too.
    asked = state.asked.get(event.path, known.digest if known is not None else None)
    same = known if known is not None and known.digest == event.digest == asked else None
    file = MountsFile(
        path=event.path,
        state=event.state,
        mapping=event.mapping,
        error=event.error,
        digest=event.digest,
        written_at=event.written_at,
        revision=same.number if same else None,
        owner=same.owner if same else owner,
    )
    effects: list[Effect] = [Log(_read_text(file), warning=event.state == INVALID)]
    if event.content is not None and event.content.strip() and event.digest and event.digest != asked:
        state = replace(state, asked={**state.asked, event.path: event.digest})
        binds = tuple(sorted(event.mapping.binds().items())) if event.state == OK else None
        effects.append(
            KeepRevision(event.path, event.content, event.digest, binds, event.written_at or 0.0, file.owner)
        )
    since = now if event.written_at is None else event.written_at
    moment = Moment(event.path, since, None if event.state == INVALID else event.mapping)
    timeline = (*state.timeline, moment)[-_MOMENTS_IN_MEMORY:]
    return replace(state, files={**state.files, event.path: file}, timeline=timeline), effects


def _read_text(file: MountsFile) -> str:
    if file.state == MISSING:
        return f"{file.path} is not there: the launcher would mount nothing"
    if file.state == INVALID:
        return f"{file.path} is not valid: {file.error}"
    return f"{file.path} read, written by {wording.who(file.owner)}"


def _revision_kept(state: State, revision: Revision) -> State:
    others = tuple(r for r in state.revisions if r.number != revision.number)
    revisions = thin(sorted((*others, revision), key=lambda r: r.number), _REVISIONS_IN_MEMORY)
    file = state.files.get(revision.path)
    files = state.files
    if file is not None and file.digest == revision.digest:
        files = {**files, file.path: replace(file, revision=revision.number, owner=revision.owner)}
    state = replace(state, revisions=revisions, files=files)
    for container in state.containers.values():  # one of them may be ours after all
        if container.id not in state.contained:
            state = _container_seen(state, container, None)
    return state


def _containers_listed(state: State, listed: Iterable[tuple[Container, Launcher | None]]) -> State:
    pairs = tuple(listed)
    for id in state.containers.keys() - {container.id for container, _ in pairs}:
        state = _container_ended(state, id)
    for container, launcher in pairs:
        state = _container_seen(state, container, launcher)
    return state


def _container_seen(state: State, container: Container, launcher: Launcher | None) -> State:
    state = replace(state, containers={**state.containers, container.id: container})
    known = state.contained.get(container.id)
    if known is not None and (launcher is None or known.pid is not None):
        return state  # decided already, with all that can be known
    started_with = None if launcher is None else _started_with(state, launcher)
    job = running_job(container, launcher, started_with, state.mounts_file, state.revisions)
    if job is None:
        return state
    launchers = {pid: starting for pid, starting in state.launchers.items() if pid != job.pid}
    return replace(state, contained={**state.contained, container.id: job}, launchers=launchers)


def _container_ended(state: State, id: str) -> State:
    containers = {known: container for known, container in state.containers.items() if known != id}
    contained = {known: job for known, job in state.contained.items() if known != id}
    return replace(state, containers=containers, contained=contained)


def _launchers_seen(state: State, launchers: Iterable[Launcher]) -> State:
    contained = {job.pid for job in state.contained.values()}
    seen = {}
    for launcher in launchers:
        if launcher.pid in contained:
            continue  # the engine knows this job better
        known = state.launchers.get(launcher.pid)
        seen[launcher.pid] = known or starting_job(launcher, _started_with(state, launcher), state.mounts_file)
    return replace(state, launchers=seen)


def _started_with(state: State, launcher: Launcher) -> Binds | None:
    """What the launcher's file gave when it started; None where nobody watched, or it gave nothing valid."""
    known = state.launchers.get(launcher.pid)
    if known is not None:
        return known.holds or None
    path = launcher.mounts_file or state.mounts_file
    before = [m for m in state.timeline if m.path == path and m.since <= launcher.started_at + _CLOCK_GRAIN]
    if not before or before[-1].mapping is None:
        return None
    return tuple(sorted(before[-1].mapping.binds(launcher.cwd).items()))


def _launcher_ended(state: State, pid: int) -> State:
    launchers = {known: job for known, job in state.launchers.items() if known != pid}
    state = replace(state, launchers=launchers)
    if state.docker != CONNECTED:
        # No engine will tell, and a launcher takes its container with it.
        for id in [id for id, job in state.contained.items() if job.pid == pid]:
            state = _container_ended(state, id)
    return state


def _action_chosen(state: State, key: str, action: str) -> tuple[State, list[Effect]]:
    job = next((job for job in state.jobs if job.id == key), None)
    if job is None:
        return state, [Log(f"{action}: the job {key} is over")]
    if action == wording.KEEP:
        kept = {c.identity for c in state.conflicts if c.job == key}
        return replace(state, kept=state.kept | kept), [Log(f"kept: the mapping stays as it is under {job.title}")]
    revision = conflict.revision_for(job, state.revisions)
    if action == wording.RESTORE and revision is not None:
        return state, [
            Log(f"restore: revision {revision.number} for {job.title}"),
            Restore(revision.number, key),
        ]
    return state, [Log(f"{action}: nothing to do for {job.title}", warning=True)]


def _restore_failed(state: State, key: str, reason: str) -> list[Effect]:
    effects: list[Effect] = [Log(f"restore failed: {reason}", warning=True)]
    alert = state.alerts.get(key)
    if alert is not None:
        effects.append(Notify(replace(alert, body=f"{alert.body}\nIt could not be put back: {reason}")))
    return effects


def _alerts(state: State) -> dict[str, Alert]:
    alerts = {}
    for job in state.jobs:
        told = [c for c in state.conflicts if c.job == job.id and c.identity not in state.kept]
        if told:
            revision = conflict.revision_for(job, state.revisions)
            alerts[job.id] = wording.alert(job, told, state.files[job.mounts_file], revision, state.home)
    return alerts


def _log(before: State, after: State) -> list[Effect]:
    old, new = {c.identity: c for c in before.conflicts}, {c.identity: c for c in after.conflicts}
    lines: list[Effect] = []
    lines += [Log(f"conflict ({c.kind}): {c.message}", warning=True) for i, c in new.items() if i not in old]
    lines += [Log(f"conflict over ({c.kind}): {c.message}") for i, c in old.items() if i not in new]
    started = {job.id for job in before.jobs}
    ended = started - {job.id for job in after.jobs}
    lines += [Log(f"job {job.id}: {job.title}") for job in after.jobs if job.id not in started]
    return lines + [Log(f"job {id} ended") for id in sorted(ended)]
