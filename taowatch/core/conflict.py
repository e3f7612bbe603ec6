"""(mounts files now, jobs and what they hold, folders lost) -> conflicts. The rules of DESIGN.md, "Conflicts"."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet

from taowatch.core.jobs import RUNNING, STARTING
from taowatch.core.model import INVALID, MISSING, Conflict, Job, MountsFile, Revision

CRITICAL, WARNING, INFO = "critical", "warning", "info"
SEVERITIES = {
    "remapped": CRITICAL,
    "removed": CRITICAL,
    "hijacked": CRITICAL,
    "source-missing": CRITICAL,
    "invalid": WARNING,
    "options": INFO,
}
_RANK = (CRITICAL, WARNING, INFO)

Difference = tuple[str, str | None, str | None]
"""(destination, expected source, actual source)."""


def find(
    files: MappingOf[str, MountsFile], jobs: Iterable[Job], lost: AbstractSet[str] = frozenset()
) -> tuple[Conflict, ...]:
    """Every conflict of every job, the worst first. `lost` are folders that were deleted or moved."""
    found = [conflict for job in jobs for conflict in _of(files.get(job.mounts_file), job, lost)]
    return tuple(sorted(found, key=lambda c: (_RANK.index(c.severity), c.job, c.destination or "")))


def worst(conflicts: Iterable[Conflict]) -> str:
    """The highest severity among conflicts; at least one must be given."""
    return min((c.severity for c in conflicts), key=_RANK.index)


def gives(binds: Iterable[tuple[str, str]], job: Job) -> bool:
    """Whether a mapping with these binds gives the job all that it holds. What is mounted beside does not matter."""
    return set(job.holds) <= set(binds)


def revision_for(job: Job, revisions: Iterable[Revision]) -> Revision | None:
    """The latest revision of the job's mounts file that gives the job its mapping: the one to restore."""
    if not job.holds or job.misled:
        return None
    fitting = [r for r in revisions if r.path == job.mounts_file and r.binds is not None and gives(r.binds, job)]
    return max(fitting, key=lambda r: r.number, default=None)


def _of(file: MountsFile | None, job: Job, lost: AbstractSet[str]) -> list[Conflict]:
    if job.got is not None:
        return [_hijacked(job, *difference) for difference in _differences(job, dict(job.got))]
    if file is None or not job.holds:
        return []  # started without a mapping, or it is not known with which: there is nothing to compare
    gone = [_missing(job, destination, source) for destination, source in job.holds if source in lost]
    return gone + (_invalid(file, job, lost) if file.state == INVALID else _moved(file, job))


def _moved(file: MountsFile, job: Job) -> list[Conflict]:
    now = {} if file.state == MISSING else file.mapping.binds(job.cwd)
    vague = file.mapping.vague()
    differences = [difference for difference in _differences(job, now) if difference[0] not in vague]
    if job.state == STARTING:  # the launcher has not read the file yet: what stands there now is what it will get
        return [_hijacked(job, *difference) for difference in differences]
    if differences:
        return [_lost(file, job, *difference) for difference in differences]
    return _other_options(file, job)


def _invalid(file: MountsFile, job: Job, lost: AbstractSet[str]) -> list[Conflict]:
    if file.awaits and set(file.awaits) <= lost:
        return []  # it is invalid only because a folder is gone, which is said already
    return [_conflict("invalid", job, None, None, None, f"{file.path} is not valid: {file.error}")]


def _differences(job: Job, now: MappingOf[str, str]) -> list[Difference]:
    """All that the job holds and `now` does not give; of a misled job also what `now` gives beside."""
    differences: list[Difference] = [(d, source, now.get(d)) for d, source in job.holds if now.get(d) != source]
    if job.misled:
        held = dict(job.holds)
        differences += [(d, None, source) for d, source in sorted(now.items()) if d not in held]
    return differences


def _hijacked(job: Job, destination: str, expected: str | None, actual: str | None) -> Conflict:
    verb = "works on" if job.state == RUNNING else "will start on"
    text = f"{job.title} {verb} {actual or 'nothing'} as {destination}"
    return _conflict(
        "hijacked", job, destination, expected, actual, f"{text} instead of {expected}" if expected else text
    )


def _missing(job: Job, destination: str, source: str) -> Conflict:
    text = f"{source}, the {destination} of {job.title}, was deleted, moved or replaced"
    return _conflict("source-missing", job, destination, source, None, text)


def _lost(file: MountsFile, job: Job, destination: str, expected: str | None, actual: str | None) -> Conflict:
    if actual is None:
        text = f"{destination} of {job.title} ({expected}) is no longer in {file.path}"
        return _conflict("removed", job, destination, expected, None, text)
    text = f"{destination} of {job.title} now leads to {actual} instead of {expected}"
    return _conflict("remapped", job, destination, expected, actual, text)


def _other_options(file: MountsFile, job: Job) -> list[Conflict]:
    if job.options is None or file.state == MISSING or job.options == file.mapping.options:
        return []
    before, now = dict(job.options), dict(file.mapping.options)
    names = ", ".join(sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n)))
    text = f"the next tao command will not have the options of {job.title}: {names}"
    return [_conflict("options", job, None, None, None, text)]


def _conflict(
    kind: str, job: Job, destination: str | None, expected: str | None, actual: str | None, message: str
) -> Conflict:
    return Conflict(kind, SEVERITIES[kind], job.id, destination, expected, actual, message, key=job.key)
