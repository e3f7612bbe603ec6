"""How each event changes the facts, and what the event itself asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from taowatch.core import conflict, events, wording
from taowatch.core.effects import Effect, FollowMapping, KeepRevision, Log, Notify, ReadAgain, Restore
from taowatch.core.facts import CONNECTED, Moment, State
from taowatch.core.jobs import STARTING, Binds, Container, Launcher, known_by_its_binds, running_job
from taowatch.core.mapping import Mapping
from taowatch.core.model import INVALID, MISSING, OK, Job, MountsFile, Revision
from taowatch.core.owner import project_behind, writer_of
from taowatch.core.revisions import thin
from taowatch.core.starts import is_of_interest, start_of, waiting_job

_REVISIONS_IN_MEMORY = 200
_MOMENTS_IN_MEMORY = 200


def apply(state: State, event: events.Event, now: float) -> tuple[State, list[Effect]]:
    """The facts after an event at `now` (seconds since the epoch), and what the event itself asks for."""
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
        case events.FoldersChanged(lost, absent):
            return _folders_changed(state, lost, absent)
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
        case events.ConfigRead(config):
            return replace(state, config=config), []
        case events.Restored(path):
            return replace(state, restoring=state.restoring - {path}), []
        case events.RestoreFailed(key, reason):
            return _restore_failed(state, key, reason)


def _mapping_changed(state: State, event: events.MappingChanged, now: float) -> tuple[State, list[Effect]]:
    sources = [mount.real_source for mount in event.mapping.mounts]
    known = next((r for r in reversed(state.revisions) if r.path == event.path), None)
    # The latest that was asked for counts, not the latest that is on disk yet: in a burst the file may be back at an
    # older content before the newer one was kept, and its return is a revision too.
    asked = state.asked.get(event.path, known.digest if known is not None else None)
    same = known if known is not None and event.digest == asked and _is_kept_as(known, event) else None
    owner = same.owner if same else writer_of(sources, event.kernels, event.notebooks)
    file = MountsFile(
        path=event.path,
        state=event.state,
        mapping=event.mapping,
        error=event.error,
        digest=event.digest,
        written_at=event.written_at,
        revision=same.number if same else None,
        owner=owner,
        awaits=event.awaits,
    )
    effects: list[Effect] = [Log(_read_text(file), warning=event.state == INVALID)]
    if event.content is not None and event.content.strip() and event.digest and _is_to_be_kept(known, asked, event):
        state = replace(state, asked={**state.asked, event.path: event.digest})
        binds = _sorted(event.mapping) if event.state == OK else None
        effects.append(KeepRevision(event.path, event.content, event.digest, binds, event.written_at or 0.0, owner))
    effects += _follow_mapping(state, file, event.content)
    moment = Moment(event.path, _since(state, event, now), None if event.state == INVALID else event.mapping, seen=now)
    state = replace(
        state,
        files={**state.files, event.path: file},
        timeline=(*state.timeline, moment)[-_MOMENTS_IN_MEMORY:],
        restoring=state.restoring - {event.path},
        gave_up=state.gave_up - {event.path},
    )
    return _look_at_launchers_again(state, event.path), effects


def _is_to_be_kept(known: Revision | None, asked: str | None, event: events.MappingChanged) -> bool:
    if event.digest != asked:
        return True
    return known is not None and known.digest == event.digest and not _is_kept_as(known, event)


def _is_kept_as(revision: Revision, event: events.MappingChanged) -> bool:
    # The same text may come to mean something else: a source that was missing is there, a link leads elsewhere.
    return revision.digest == event.digest and (event.state != OK or revision.binds == _sorted(event.mapping))


def _since(state: State, event: events.MappingChanged, now: float) -> float:
    """Since when the file has this content. A file that is moved in brings a time with it that says nothing."""
    last = max((moment.seen for moment in state.timeline if moment.path == event.path), default=0.0)
    changed = now if event.changed_at is None else event.changed_at
    return changed if last <= changed <= now else now


def _sorted(mapping: Mapping) -> Binds:
    return tuple(sorted(mapping.binds().items()))


def _follow_mapping(state: State, file: MountsFile, content: bytes | None) -> list[Effect]:
    """A project with a mounts file of its own has it kept in step with what its notebook writes to the common one."""
    if file.path != state.mounts_file or file.state != OK or content is None:
        return []
    sources = [mount.real_source for mount in file.mapping.mounts]
    project = project_behind(sources, file.owner, state.projects)
    if project is None or project.mounts_file is None:
        return []
    return [FollowMapping(project.mounts_file, content, file.written_at or 0.0)]


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
    return _look_at_containers_again(state)


def _look_at_containers_again(state: State) -> State:
    """A revision more, or a launcher less: a container may be ours after all."""
    for container in state.not_ours:
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
    if launcher is None and any(job.state == STARTING for job in state.launchers.values()):
        return state  # it may be the container for which a launcher waits, which will soon show itself by an exec
    job = _job_in(state, container, launcher)
    if job is None:
        return state
    launchers = {pid: starting for pid, starting in state.launchers.items() if pid != job.pid}
    return replace(state, contained={**state.contained, container.id: job}, launchers=launchers)


def _job_in(state: State, container: Container, launcher: Launcher | None) -> Job | None:
    """The job that a container is, or None where it is not one of this user's mounts files."""
    if launcher is None:
        return known_by_its_binds(container, state.revisions, state.home)
    return running_job(container, launcher, start_of(state, launcher))


def _container_ended(state: State, id: str) -> State:
    containers = {known: container for known, container in state.containers.items() if known != id}
    contained = {known: job for known, job in state.contained.items() if known != id}
    return replace(state, containers=containers, contained=contained)


def _launchers_seen(state: State, launchers: Iterable[Launcher]) -> State:
    launchers = tuple(launchers)
    for launcher in launchers:
        if launcher.container in state.containers:  # its task shows which container is its own
            state = _container_seen(state, state.containers[launcher.container], launcher)
    contained = {job.pid for job in state.contained.values()}
    waiting = {launcher.pid: launcher for launcher in launchers if launcher.pid not in contained}
    # Whom the engine knows, it knows better; the others are as they were at first sight, except for what is new.
    jobs = {pid: waiting_job(state, launcher) for pid, launcher in waiting.items()}
    return _look_at_containers_again(replace(state, launchers=jobs, seen=waiting))


def _look_at_launchers_again(state: State, path: str) -> State:
    """A file that was read may say what a waiting launcher was started with, or what misled it."""
    jobs = {
        pid: waiting_job(state, state.seen[pid], anew=True) if is_of_interest(state, job, path) else job
        for pid, job in state.launchers.items()
        if pid in state.seen
    }
    return replace(state, launchers=jobs)


def _launcher_ended(state: State, pid: int) -> State:
    launchers = {known: job for known, job in state.launchers.items() if known != pid}
    state = _look_at_containers_again(replace(state, launchers=launchers))
    if state.docker != CONNECTED:
        # No engine will tell, and a launcher takes its container with it.
        for id in [id for id, job in state.contained.items() if job.pid == pid]:
            state = _container_ended(state, id)
    return state


def _folders_changed(state: State, lost: frozenset[str], absent: frozenset[str]) -> tuple[State, list[Effect]]:
    changed = absent ^ state.absent
    concerned = [
        file.path
        for file in state.files.values()
        if changed & {*file.awaits, *(mount.real_source for mount in file.mapping.mounts)}
    ]
    return replace(state, lost=lost, absent=absent), [ReadAgain(path) for path in concerned]


def _action_chosen(state: State, key: str, action: str) -> tuple[State, list[Effect]]:
    job = next((job for job in state.jobs if job.key == key), None)
    if job is None:
        return state, [Log(f"{action}: the job {key} is over")]
    if action == wording.KEEP:
        kept = {c.identity for c in state.conflicts if c.key == key}
        return replace(state, kept=state.kept | kept), [Log(f"kept: the mapping stays as it is under {job.title}")]
    revision = conflict.revision_for(job, state.revisions)
    if action == wording.RESTORE and revision is not None:
        return state, [
            Log(f"restore: revision {revision.number} for {job.title}"),
            Restore(revision.number, key),
        ]
    return state, [Log(f"{action}: nothing to do for {job.title}", warning=True)]


def _restore_failed(state: State, key: str, reason: str) -> tuple[State, list[Effect]]:
    effects: list[Effect] = [Log(f"restore failed: {reason}", warning=True)]
    alert = state.alerts.get(key)
    if alert is not None:
        effects.append(Notify(replace(alert, body=f"{alert.body}\nIt could not be put back: {reason}")))
    # Whatever taowatch was putting back by itself is a conflict again, and told.
    notices = {path: notice for path, notice in state.notices.items() if notice.key != key}
    return replace(state, restoring=frozenset(), notices=notices), effects
