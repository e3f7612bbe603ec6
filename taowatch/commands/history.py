"""`taowatch history`, `diff` and `restore`: the revisions of the mounts file, and the way back to one."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from taowatch.commands.status import look, snapshot
from taowatch.core import report, wording
from taowatch.core.model import Revision
from taowatch.errors import USAGE, TaowatchError
from taowatch.paths import Paths
from taowatch.render import Result
from taowatch.restoring import restore as put_back
from taowatch.sinks.history import History

_MENDED = ("remapped", "removed", "invalid", "hijacked")
"""The conflicts that a mapping put back can end."""


def history(paths: Paths) -> Result:
    """Who wrote when what, the newest first. Values of Envs are not part of it."""
    revisions = list(reversed(History(paths.history).revisions()))
    if not revisions:
        return Result("No revision yet: the daemon keeps one each time the mounts file changes.", [])
    lines = []
    for revision in revisions:
        other = "" if revision.path == str(paths.mounts_file) else f"  in {revision.path}"
        lines.append(f"{revision.number:>5}  {report.iso(revision.written_at)}  {wording.who(revision.owner)}{other}")
        lines += [f"         {destination}  ->  {source}" for destination, source in revision.binds or ()]
        if revision.binds is None:
            lines.append("         not valid")
    return Result("\n".join(wording.printable(line) for line in lines), [_document(r) for r in revisions])


def diff(paths: Paths, number: int | None) -> Result:
    """What a revision changed against the one before it (by default the newest). Values of Envs are not shown."""
    kept = History(paths.history)
    known = kept.revisions()
    common = str(paths.mounts_file)
    chosen = next((r for r in reversed(known) if r.number == number or (number is None and r.path == common)), None)
    if chosen is None:
        raise TaowatchError(f"there is no revision {number or 'yet'}", "`taowatch history` lists them")
    before = next((r for r in reversed(known) if r.number < chosen.number and r.path == chosen.path), None)
    old = _lines(kept.content(before.number)) if before else []
    new = _lines(kept.content(chosen.number))
    title = f"revision {before.number}" if before else "nothing"
    lines = list(difflib.unified_diff(old, new, title, f"revision {chosen.number}", lineterm=""))
    return Result("\n".join(wording.printable(line) for line in lines) or "No difference.", lines)


def restore(paths: Paths, environ: Mapping[str, str], number: int | None) -> Result:
    """Put a revision back: the given one, else the one that ends the conflict, else the one before the present."""
    kept = History(paths.history)
    chosen = number if number is not None else _choose(paths, environ, kept)
    revision = put_back(kept, chosen, paths.home)
    lines = [f"Revision {chosen} is back in {revision.path} (as revision {revision.number})."]
    lines += [f"  {destination}  ->  {source}" for destination, source in revision.binds or ()]
    return Result("\n".join(wording.printable(line) for line in lines), _document(revision))


def _choose(paths: Paths, environ: Mapping[str, str], kept: History) -> int:
    document = snapshot(paths) or look(paths, environ)
    jobs = {job["id"]: job for job in document["jobs"]}
    hit = [jobs[id] for id in sorted({c["job"] for c in document["conflicts"] if c["kind"] in _MENDED}) if id in jobs]
    if hit:
        return _ending_conflicts(hit, kept.revisions())
    revisions = [r for r in kept.revisions() if r.path == str(paths.mounts_file)]
    current = document["mounts_file"]["revision"]
    present = next((r.digest for r in reversed(revisions) if current is None or r.number == current), None)
    for revision in reversed(revisions):
        if revision.digest != present and revision.binds is not None:
            return revision.number
    raise TaowatchError("there is no earlier revision to go back to", "`taowatch history` lists what there is")


def _ending_conflicts(hit: list[dict[str, Any]], revisions: list[Revision]) -> int:
    """The latest revision of the jobs' mounts file that gives each of them what it holds."""
    files = {job["mounts_file"] for job in hit}
    holds = {(mount["destination"], mount["source"]) for job in hit for mount in job["mounts"]}
    for revision in reversed(revisions):
        if {revision.path} == files and revision.binds is not None and holds <= set(revision.binds):
            return revision.number
    if len(hit) > 1:
        raise TaowatchError(
            f"{len(hit)} jobs hold different mappings, so no revision fits all of them",
            "choose one: `taowatch history`, then `taowatch restore REV`",
            USAGE,
        )
    raise TaowatchError("no kept revision gives the job its folders", "run the mapping cell of its notebook again")


def _lines(content: bytes) -> list[str]:
    try:
        document = json.loads(content)
        for entry in document.get("Envs") or []:
            entry["value"] = "(not shown)"
        return json.dumps(document, indent=2, ensure_ascii=False).splitlines()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return [f"(not a mounts file, {len(content)} bytes)"]


def _document(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "path": revision.path,
        "written_at": report.iso(revision.written_at),
        "project": revision.owner.project,
        "notebook": revision.owner.notebook,
        "pid": revision.owner.pid,
        "by": wording.who(revision.owner),
        "mounts": [{"source": s, "destination": d} for d, s in revision.binds or ()],
        "valid": revision.binds is not None,
    }
