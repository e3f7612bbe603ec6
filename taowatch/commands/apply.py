"""`taowatch apply`: a project's mapping into the mounts file, unless that would move the ground under a live job."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from taowatch.commands.looking import look_once
from taowatch.commands.where import nearest, user
from taowatch.core import conflict
from taowatch.core.effects import KeepRevision
from taowatch.core.mapping import Mapping as MountsMapping
from taowatch.core.mapping import Rejected, digest, parse
from taowatch.core.model import OK, Conflict, MountsFile, Owner
from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.paths import Paths, write_atomically
from taowatch.render import Result
from taowatch.restoring import keep_present
from taowatch.sinks.history import History
from taowatch.sinks.own_mounts import follow_mapping
from taowatch.sources.projects import resolve_project
from taowatch.sources.reading import HostPaths, read_mounts_file


def apply(paths: Paths, environ: Mapping[str, str], directory: Path, force: bool) -> Result:
    """Raises TaowatchError where the launcher would refuse the mapping, or a live job would lose its folders."""
    project, _ = resolve_project(paths, nearest(directory))
    if project.notebook is not None and project.notebook.mapping is None and project.notebook.writes_mapping:
        raise TaowatchError(
            printable(f"the mapping of {project.notebook.path} cannot be known without running it"),
            "run its mapping cell; `taowatch check` says why",
        )
    content = (json.dumps(project.mapping(user()), indent=4) + "\n").encode("utf-8", "surrogatepass")
    try:
        mapping = parse(content, HostPaths(paths.home))
    except Rejected as error:
        raise TaowatchError(
            printable(f"the launcher would refuse the mapping of {project.name}: {error}"),
            "`taowatch check` says more",
        ) from None
    hit = [] if force else _hit(paths, environ, mapping)
    if hit:
        raise TaowatchError(
            printable(f"{hit[0].message} (job {hit[0].job}), once this is applied"),
            "wait for its end, use `taowatch run -- tao …` beside it, or --force",
        )
    _write(paths, content, mapping, Owner(project.directory, project.notebook.path if project.notebook else None))
    lines = [f"{project.name} is mapped in {paths.mounts_file}.", *(f"  {d}  ->  {s}" for s, d in project.mounts)]
    document = {"project": project.directory, "mounts": [{"source": s, "destination": d} for s, d in project.mounts]}
    return Result("\n".join(map(printable, lines)), document)


def _hit(paths: Paths, environ: Mapping[str, str], mapping: MountsMapping) -> list[Conflict]:
    """The conflicts that live jobs would have with this mapping, and have not already."""
    state = look_once(paths, environ, time.time())
    known = {c.identity for c in state.conflicts}
    applied = {**state.files, state.mounts_file: MountsFile(state.mounts_file, OK, mapping)}
    found = conflict.find(applied, state.jobs, state.lost)
    return [c for c in found if c.identity not in known and c.severity != conflict.INFO]


def _write(paths: Paths, content: bytes, mapping: MountsMapping, owner: Owner) -> None:
    if owner.project and (own := paths.launcher_mounts(Path(owner.project))).exists():
        follow_mapping(own, content)  # the daemon keeps it in step too, but it need not run
    if read_mounts_file(str(paths.mounts_file), paths.home).content == content:
        return  # even its time stays: without a daemon it tells what a live job was started with
    history, path = History(paths.history), str(paths.mounts_file)
    target = Path(os.path.realpath(path))
    keep_present(history, path, paths.home)
    by = replace(owner, certain=True, what="taowatch apply")
    binds = tuple(sorted(mapping.binds().items()))
    # Kept before it is written: the daemon, which sees the file at once, then finds who it was.
    history.add(KeepRevision(path, content, digest(content), binds, time.time(), by))
    write_atomically(target, content, target.stat().st_mode & 0o777 if target.exists() else 0o644)
