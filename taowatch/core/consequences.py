"""What follows from the facts: jobs, conflicts and alerts; and from the difference between two states: effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from taowatch.core import config, conflict, report, wording
from taowatch.core.effects import (
    Alert,
    Effect,
    Log,
    Notify,
    Protect,
    RunCommand,
    ShowAtPrompt,
    WatchFiles,
    WatchFolders,
    WatchLauncher,
    Withdraw,
    WriteStatus,
)
from taowatch.core.facts import State
from taowatch.core.model import MISSING, Conflict, Job, MountsFile


def follow(state: State, now: float) -> State:
    """The state with jobs, conflicts and alerts as the facts make them at `now`."""
    jobs = (*state.contained.values(), *state.launchers.values())
    since = {c.identity: c.since for c in state.conflicts}
    found = conflict.find(_files_in_force(state), jobs, state.lost)
    conflicts = tuple(replace(c, since=since.get(c.identity, now)) for c in found)
    identities = {c.identity for c in conflicts}
    kept, later = (state.kept | state.kept_before) & identities, state.kept_before - identities
    held = {job.mounts_file for job in jobs}
    notices = {path: notice for path, notice in state.notices.items() if path in held}
    state = replace(state, jobs=jobs, conflicts=conflicts, kept=kept, kept_before=later, notices=notices)
    return with_alerts(_forget_unwatched(state))


def _files_in_force(state: State) -> dict[str, MountsFile]:
    """The files by path; once the common one is there, it counts for who fell back to the older one as well."""
    common = state.files.get(state.mounts_file)
    if common is None or common.state == MISSING:
        return state.files
    return {**state.files, state.older_file: common}


def _forget_unwatched(state: State) -> State:
    """What was known of a file that is not watched any more may be wrong by the time it counts again."""
    wanted = set(wanted_files(state))
    if state.files.keys() <= wanted:
        return state
    files = {path: file for path, file in state.files.items() if path in wanted}
    return replace(state, files=files, timeline=tuple(m for m in state.timeline if m.path in wanted))


def with_alerts(state: State) -> State:
    """The alerts of the conflicts that are to be told, and the notices."""
    victims = [(job, told) for job in state.jobs if (told := told_of(state, job))]
    alerts = {job.key: _alert(state, job, told, len(victims)) for job, told in victims}
    alerts.update({notice.key: notice for notice in state.notices.values()})
    return replace(state, alerts=alerts)


def told_of(state: State, job: Job) -> list[Conflict]:
    """The conflicts of a job that its user is to be told of: not the mere options, not what was kept."""
    if job.mounts_file in state.restoring:
        return []
    return [
        c for c in state.conflicts if c.key == job.key and c.severity != conflict.INFO and c.identity not in state.kept
    ]


def wanted_files(state: State) -> tuple[str, ...]:
    """The mounts files to watch: the common one, the older one, and those of the jobs."""
    of_jobs = {job.mounts_file for job in state.jobs} | {job.misled for job in state.jobs if job.misled}
    return (state.mounts_file, state.older_file, *sorted(of_jobs - {state.mounts_file, state.older_file}))


def wanted_folders(state: State) -> tuple[str, ...]:
    """What the files map and wait for: whether it is there decides whether they are valid."""
    folders: set[str] = set()
    for file in state.files.values():
        folders |= {mount.real_source for mount in file.mapping.mounts} | set(file.awaits)
    return tuple(sorted(folders))


def held_folders(state: State) -> tuple[tuple[str, str], ...]:
    """(job, folder) of all that live jobs hold: each must stay what it is."""
    return tuple(sorted({(job.key, source) for job in state.jobs for _, source in job.holds}))


def protected_files(state: State) -> tuple[str, ...]:
    """With `on_conflict = "block"`: the files that live jobs hold, as long as they give them what they hold."""
    if state.config.on_conflict != config.BLOCK:
        return ()
    held = {job.mounts_file for job in state.jobs if job.holds}
    moved = {c.key for c in state.conflicts if c.severity != conflict.INFO}
    return tuple(sorted(held - {job.mounts_file for job in state.jobs if job.key in moved}))


def differences(before: State, after: State) -> list[Effect]:
    """What is to be done when `before` has become `after`."""
    effects: list[Effect] = []
    effects += [Notify(alert) for key, alert in after.alerts.items() if before.alerts.get(key) != alert]
    effects += [Withdraw(key) for key in before.alerts if key not in after.alerts]
    if before.alerts != after.alerts:
        effects.append(ShowAtPrompt(tuple(after.alerts.values())))
    effects += _watch(before, after)
    effects += _commands(before, after)
    effects += _log(before, after)
    if before != after:
        effects.append(WriteStatus())
    return effects


def _watch(before: State, after: State) -> Iterator[Effect]:
    watched = {job.pid for job in before.jobs}
    yield from (WatchLauncher(job.pid) for job in after.jobs if job.pid is not None and job.pid not in watched)
    if wanted_files(before) != (files := wanted_files(after)):
        yield WatchFiles(files)
    folders = WatchFolders(wanted_folders(after), held_folders(after))
    if WatchFolders(wanted_folders(before), held_folders(before)) != folders:
        yield folders
    protected = protected_files(after)
    if protected_files(before) != protected or (protected and before.files != after.files):
        yield Protect(protected)


def _commands(before: State, after: State) -> Iterator[Effect]:
    """The user's command is run for what is new: once for each job and set of conflicts."""
    if not after.config.command:
        return
    known = {c.identity for job in before.jobs for c in told_of(before, job)}
    for job in after.jobs:
        told = told_of(after, job)
        if any(c.identity not in known for c in told):
            yield RunCommand(after.config.command, report.command_document(after.alerts[job.key], job, told))
    for key, notice in after.notices.items():
        if before.notices.get(key) != notice:
            yield RunCommand(after.config.command, report.command_document(notice, None, []))


def _alert(state: State, job: Job, told: list[Conflict], victims: int) -> Alert:
    revision = conflict.revision_for(job, state.revisions)
    file = state.files.get(job.mounts_file, MountsFile(job.mounts_file))
    alert = wording.alert(job, told, file, revision, state.home)
    more = [wording.OTHERS_HIT.format(victims)] if victims > 1 else []
    more += [wording.GAVE_UP] if job.mounts_file in state.gave_up else []
    return replace(alert, body="\n".join([alert.body, *more]))


def _log(before: State, after: State) -> list[Effect]:
    old, new = {c.identity: c for c in before.conflicts}, {c.identity: c for c in after.conflicts}
    lines: list[Effect] = []
    lines += [
        Log(f"conflict ({c.kind}): {c.message}", c.severity != conflict.INFO) for i, c in new.items() if i not in old
    ]
    lines += [Log(f"conflict over ({c.kind}): {c.message}") for i, c in old.items() if i not in new]
    known, living = {job.key for job in before.jobs}, {job.key for job in after.jobs}
    lines += [Log(f"job {job.id}: {job.title}") for job in after.jobs if job.key not in known]
    return lines + [Log(f"job {job.id} ended: {job.title}") for job in before.jobs if job.key not in living]
