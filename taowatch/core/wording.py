"""The sentences that people read in notification, prompt and status."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Sequence

from taowatch.core.conflict import worst
from taowatch.core.effects import Alert
from taowatch.core.jobs import RUNNING
from taowatch.core.model import MISSING, Conflict, Job, MountsFile, Owner, Revision

RESTORE, KEEP = "restore", "keep"
HIJACKED_VERB = {True: "leads to", False: "would lead to"}
"""By whether the job has its container."""
OTHERS_HIT = "{} jobs are hit at the moment; each has a notification of its own."
GAVE_UP = "taowatch put it back twice within a minute already, so now it only warns."
_ORDER = ("hijacked", "source-missing", "remapped", "removed", "invalid", "options")
"""What is said first."""


def printable(text: str) -> str:
    """`text` without anything that a terminal, a log or a pop-up would obey: it may come from a hostile file name."""
    return "".join(c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in text)


def short(path: str | None, home: str) -> str:
    """A path as people write it: `~/tao/yolo_v4`."""
    if path is None:
        return ""
    return "~" + path[len(home) :] if home and (path == home or path.startswith(home.rstrip("/") + "/")) else path


def who(owner: Owner) -> str:
    """`yolo_v4.ipynb (pid 4711)`, with "probably" where it is an inference; `someone` where nothing is known."""
    name = owner.what or (posixpath.basename(owner.notebook) if owner.notebook else owner.project)
    if name is None:
        return "someone"
    process = f" (pid {owner.pid})" if owner.pid else ""
    return f"{'' if owner.certain else 'probably '}{printable(name)}{process}"


def alert(job: Job, conflicts: Sequence[Conflict], file: MountsFile, revision: Revision | None, home: str) -> Alert:
    """What to tell about one job's conflicts; `revision` is the one that would put its mapping back."""
    worst_first = sorted(conflicts, key=lambda c: _ORDER.index(c.kind))
    swaps = [_swap(conflict, home, job.state == RUNNING) for conflict in worst_first]
    cause, kind = _cause(job, file, home, worst_first[0].kind), worst_first[0].kind
    safety, out = _safety(job, kind), _way_out(job, kind, revision, home)
    more = f" (and {len(swaps) - 1} more)" if len(swaps) > 1 else ""
    line = f"{cause.rstrip('.')}: {swaps[0]}{more} {safety} {out}"
    actions = ((RESTORE, "Restore"), (KEEP, "Keep")) if revision and _can_restore(job, kind) else ((KEEP, "Keep"),)
    body = "\n".join([cause, *swaps, safety, out])
    return Alert(job.key, worst(conflicts), _title(kind, _job_name(job)), body, line, actions)


def restored(path: str, job: Job, culprit: str, revision: Revision, home: str) -> Alert:
    """What to tell of a mapping that taowatch put back by itself."""
    victim, file = _job_name(job), printable(short(path, home))
    body = (
        f"{_first_upper(culprit)} wrote {file} while {victim} is {job.state}.\n"
        f'taowatch put revision {revision.number} back at once (on_conflict = "restore"). '
        "What it replaced is kept: `taowatch history` shows it, `taowatch run` starts a command on its own mapping."
    )
    title = f"TAO folders put back for {victim}"
    return Alert(f"restored:{path}", "info", title, body, body.replace("\n", " "))


def _cause(job: Job, file: MountsFile, home: str, kind: str) -> str:
    if kind == "source-missing":
        return f"A folder of {_job_name(job)} is gone while it is {job.state}."
    if job.misled is not None:
        return f"{_first_upper(_job_name(job))} inherited LAUNCHER_MOUNTS of another project ({printable(job.misled)})."
    when = (
        f"before {_job_name(job)} had its container" if kind == "hijacked" else f"while {_job_name(job)} is {job.state}"
    )
    culprit = _first_upper(who(file.owner))
    if file.state == MISSING:
        return f"Somebody deleted {printable(short(file.path, home))} {when}."
    return f"{culprit} wrote {printable(short(file.path, home))} {when}."


def _safety(job: Job, kind: str) -> str:
    """What is safe and what is not: people stop good trainings where this is not said."""
    if kind == "source-missing":
        return "The job may still write into the deleted folder; what it writes there is lost with it."
    if kind != "hijacked":
        return "The running job is safe: it keeps its folders. Its next tao command is not."
    if job.state == RUNNING:
        return "The job itself works on the wrong folders."
    return "The job is not safe: it has not read the file yet."


def _can_restore(job: Job, kind: str) -> bool:
    return kind != "source-missing" and job.got is None


def _way_out(job: Job, kind: str, revision: Revision | None, home: str) -> str:
    stop = f"docker stop {job.id}" if job.state == RUNNING and not job.id.startswith("pid-") else f"kill {job.pid}"
    if kind == "source-missing":
        return f"Put the folder back where it was, or stop the job ({stop}) and start it again."
    if job.misled is not None:
        return (
            f"Stop it: {stop}. Then start it on its own project's mounts file: taowatch run -- tao …; or, for the "
            "common file, without the variable: env -u LAUNCHER_MOUNTS tao … "
            '(in a notebook: os.environ.pop("LAUNCHER_MOUNTS")).'
        )
    if kind == "hijacked" and job.state == RUNNING:
        return f"Stop it: {stop}. Then run the mapping cell of its notebook and start it again."
    back = f"taowatch restore {revision.number}" if revision else "run the mapping cell of its notebook again"
    if kind == "hijacked":
        return f"Before its container starts, put the mapping back: {back}; or stop it: {stop}."
    return f"To put it back: {back}"


def _title(kind: str, victim: str) -> str:
    if kind == "hijacked":
        return f"TAO job on the wrong folders: {victim}"
    if kind == "source-missing":
        return f"TAO folder gone under {victim}"
    if kind == "invalid":
        return f"TAO mounts file broken under {victim}"
    return f"TAO folders moved under {victim}"


def _job_name(job: Job) -> str:
    notebook = f" of {posixpath.basename(job.owner.notebook)}" if job.owner.notebook else ""
    return printable(f"{job.title}{notebook}")


def _swap(conflict: Conflict, home: str, runs: bool) -> str:
    expected, actual = short(conflict.expected, home), short(conflict.actual, home)
    if conflict.kind == "invalid":
        return printable(conflict.message) + "."
    if conflict.kind == "source-missing":
        return printable(f"{expected} ({conflict.destination}) was deleted, moved or replaced.")
    if conflict.kind == "hijacked" and expected == "":
        return printable(f"{conflict.destination} {HIJACKED_VERB[runs]} {actual}.")
    if conflict.kind == "hijacked":
        return printable(f"{conflict.destination} {HIJACKED_VERB[runs]} {actual or 'nothing'}, should be {expected}.")
    if conflict.actual is None:
        return printable(f"{conflict.destination} is no longer mapped (was {expected}).")
    return printable(f"{conflict.destination} now leads to {actual}, was {expected}.")


def _first_upper(text: str) -> str:
    # Only our own word is capitalised: a notebook keeps the spelling of its file.
    return text[0].upper() + text[1:] if text.startswith(("probably", "someone")) else text
