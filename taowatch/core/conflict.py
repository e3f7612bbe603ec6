"""(mounts files now, jobs and what they hold) -> conflicts. The rules of DESIGN.md, "Conflicts"."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf

from taowatch.core.jobs import RUNNING, STARTING
from taowatch.core.model import INVALID, MISSING, Conflict, Job, MountsFile, Revision

CRITICAL, WARNING, INFO = "critical", "warning", "info"
SEVERITIES = {"remapped": CRITICAL, "removed": CRITICAL, "hijacked": CRITICAL, "invalid": WARNING}
_RANK = (CRITICAL, WARNING, INFO)


def find(files: MappingOf[str, MountsFile], jobs: Iterable[Job]) -> tuple[Conflict, ...]:
    """Every conflict of every job, the worst first."""
    found = [conflict for job in jobs if job.mounts_file in files for conflict in _of(files[job.mounts_file], job)]
    return tuple(sorted(found, key=lambda c: (_RANK.index(c.severity), c.job, c.destination or "")))


def worst(conflicts: Iterable[Conflict]) -> str:
    """The highest severity among conflicts; at least one must be given."""
    return min((c.severity for c in conflicts), key=_RANK.index)


def gives(binds: Iterable[tuple[str, str]], job: Job) -> bool:
    """Whether a mapping with these binds gives the job all that it holds. What is mounted beside does not matter."""
    return set(job.holds) <= set(binds)


def revision_for(job: Job, revisions: Iterable[Revision]) -> Revision | None:
    """The latest revision of the job's mounts file that gives the job its mapping: the one to restore."""
    fitting = [r for r in revisions if r.path == job.mounts_file and r.binds is not None and gives(r.binds, job)]
    return max(fitting, key=lambda r: r.number, default=None)


def _of(file: MountsFile, job: Job) -> list[Conflict]:
    if not job.holds:
        return []  # started without a mapping, or it is not known with which: there is nothing to compare
    if job.got is not None:
        return [_hijacked(job, d, expected, actual) for d, expected, actual in _lost(job, dict(job.got))]
    if file.state == INVALID:
        return [_conflict("invalid", job, None, None, None, f"{file.path} is not valid: {file.error}")]
    now = {} if file.state == MISSING else file.mapping.binds(job.cwd)
    if job.state == STARTING:
        return [_hijacked(job, d, expected, actual) for d, expected, actual in _lost(job, now)]
    return [_moved(file, job, d, expected, actual) for d, expected, actual in _lost(job, now)]


def _lost(job: Job, now: MappingOf[str, str]) -> list[tuple[str, str, str | None]]:
    """(destination, expected source, actual source) of all that the job holds and `now` does not give."""
    return [(d, expected, now.get(d)) for d, expected in job.holds if now.get(d) != expected]


def _hijacked(job: Job, destination: str, expected: str, actual: str | None) -> Conflict:
    verb = "works on" if job.state == RUNNING else "will start on"
    text = f"{job.title} {verb} {actual or 'nothing'} as {destination} instead of {expected}"
    return _conflict("hijacked", job, destination, expected, actual, text)


def _moved(file: MountsFile, job: Job, destination: str, expected: str, actual: str | None) -> Conflict:
    if actual is None:
        text = f"{destination} of {job.title} ({expected}) is no longer in {file.path}"
        return _conflict("removed", job, destination, expected, None, text)
    text = f"{destination} of {job.title} now leads to {actual} instead of {expected}"
    return _conflict("remapped", job, destination, expected, actual, text)


def _conflict(
    kind: str, job: Job, destination: str | None, expected: str | None, actual: str | None, message: str
) -> Conflict:
    return Conflict(kind, SEVERITIES[kind], job.id, destination, expected, actual, message)
