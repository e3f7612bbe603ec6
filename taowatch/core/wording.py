"""The sentences that people read in notification, prompt and status."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Sequence

from taowatch.core.conflict import worst
from taowatch.core.effects import Alert
from taowatch.core.model import Conflict, Job, MountsFile, Owner, Revision

RESTORE, KEEP = "restore", "keep"
HIJACKED_VERB = {True: "leads to", False: "would lead to"}
"""By whether the job has its container."""


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
    victim = _job_name(job)
    culprit = who(file.owner)
    swaps = [_swap(conflict, home, job.got is not None) for conflict in conflicts]
    command = f"taowatch restore {revision.number}" if revision else "run the mapping cell of its notebook again"
    safety = _safety(job, conflicts)
    body = [f"{_first_upper(culprit)} wrote {printable(short(file.path, home))} {_when(job)}.", *swaps, safety]
    body.append(f"To put it back: {command}")
    more = f" (and {len(swaps) - 1} more)" if len(swaps) > 1 else ""
    line = f"{culprit} moved the folders of {victim}: {swaps[0]}{more} {safety} Put back: {command}"
    actions = ((RESTORE, "Restore"), (KEEP, "Keep")) if revision else ((KEEP, "Keep"),)
    return Alert(job.id, worst(conflicts), _title(conflicts, victim), "\n".join(body), line, actions)


def _when(job: Job) -> str:
    if job.got is not None:
        return f"before {_job_name(job)} had its container"
    return f"while {_job_name(job)} is {job.state}"


def _safety(job: Job, conflicts: Sequence[Conflict]) -> str:
    """What is safe and what is not: people stop good trainings where this is not said."""
    if conflicts[0].kind != "hijacked":
        return "The running job is safe: it keeps its folders. Its next tao command is not."
    if job.got is None:
        return (
            "The job is not safe: it has not read the file yet. Put the mapping back before its container starts, "
            f"or stop it (kill {job.pid}) and start it again."
        )
    return f"The job itself works on the wrong folders. Stop it: docker stop {job.id}"


def _title(conflicts: Sequence[Conflict], victim: str) -> str:
    if conflicts[0].kind == "hijacked":
        return f"TAO job on the wrong folders: {victim}"
    if conflicts[0].kind == "invalid":
        return f"TAO mounts file broken under {victim}"
    return f"TAO folders moved under {victim}"


def _job_name(job: Job) -> str:
    notebook = f" of {posixpath.basename(job.owner.notebook)}" if job.owner.notebook else ""
    return printable(f"{job.title}{notebook}")


def _swap(conflict: Conflict, home: str, got: bool) -> str:
    expected, actual = short(conflict.expected, home), short(conflict.actual, home)
    if conflict.kind == "invalid":
        return printable(conflict.message) + "."
    if conflict.kind == "hijacked":
        return printable(f"{conflict.destination} {HIJACKED_VERB[got]} {actual or 'nothing'}, should be {expected}.")
    if conflict.actual is None:
        return printable(f"{conflict.destination} is no longer mapped (was {expected}).")
    return printable(f"{conflict.destination} now leads to {actual}, was {expected}.")


def _first_upper(text: str) -> str:
    # Only our own word is capitalised: a notebook keeps the spelling of its file.
    return text[0].upper() + text[1:] if text.startswith(("probably", "someone")) else text
