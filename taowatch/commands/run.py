"""`taowatch run -- tao …`: the launcher on the project's own mounts file, so that two projects can train at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from taowatch.commands.where import nearest, user
from taowatch.core import wording
from taowatch.core.mapping import Rejected, parse
from taowatch.core.model import OK, Owner, Project
from taowatch.core.owner import project_behind
from taowatch.errors import USAGE, TaowatchError
from taowatch.paths import Paths
from taowatch.sinks.history import History
from taowatch.sinks.own_mounts import follow_mapping
from taowatch.sources.projects import read_projects, resolve_project
from taowatch.sources.reading import HostPaths, read_mounts_file


def run(paths: Paths, environ: Mapping[str, str], directory: Path, command: Sequence[str]) -> NoReturn:
    """Become `command`, with LAUNCHER_MOUNTS naming the own mounts file of the project at or above `directory`.

    Raises TaowatchError where there is no allowed project, where its mapping would be refused by the launcher, or where
    the command cannot be started.
    """
    if not command:
        raise TaowatchError("no command was given", "for example: taowatch run -- tao model dino train …", USAGE)
    own = prepare(paths, nearest(directory))
    # TAOWATCH_RUN tells the daemon that this very process was given the file, and did not inherit it by mistake.
    more = {"LAUNCHER_MOUNTS": str(own), "TAOWATCH_PROJECT": str(nearest(directory)), "TAOWATCH_RUN": str(os.getpid())}
    try:
        os.execvpe(command[0], list(command), {**environ, **more})
    except OSError as error:
        raise TaowatchError(f"{command[0]} cannot be started: {error.strerror}") from None


def prepare(paths: Paths, directory: Path) -> Path:
    """The own mounts file of a project, up to date. Raises TaowatchError where the launcher would refuse it."""
    project = _allowed(paths, directory)
    own = paths.launcher_mounts(directory)
    newest = _newest(paths, project, own)
    if newest is None:
        newest = time.time(), json.dumps(resolve_project(paths, directory)[0].mapping(user()), indent=4).encode()
    written_at, content = newest
    try:
        parse(content, HostPaths(paths.home))
    except Rejected as error:  # the file stays as it is: a job may live on it
        raise TaowatchError(
            wording.printable(f"the launcher would refuse the mapping of {directory}: {error}"),
            f"make the folder, or run the mapping cell of the notebook; `taowatch check {directory}` shows more",
        ) from None
    follow_mapping(own, content, written_at)
    return own


def _allowed(paths: Paths, directory: Path) -> Project:
    for project in read_projects(paths):
        if project.directory == str(directory) and project.allowed:
            return project
    raise TaowatchError(f"{directory} is not allowed", f"`taowatch allow {directory}`, once you have read it")


def _newest(paths: Paths, project: Project, own: Path) -> tuple[float, bytes] | None:
    """The newest mapping of the project, from the common file, its own file or the history; None without any."""
    history = History(paths.history)
    revisions = history.revisions()
    projects = read_projects(paths)
    common = read_mounts_file(str(paths.mounts_file), paths.home)
    candidates: list[tuple[float, bytes]] = []
    if common.state == OK and common.content is not None:
        owner = next((r.owner for r in reversed(revisions) if r.digest == common.digest), Owner())
        sources = [mount.real_source for mount in common.mapping.mounts]
        if _is(project, project_behind(sources, owner, projects)):
            candidates.append((common.written_at or 0.0, common.content))
    if own.is_file():
        candidates.append((own.stat().st_mtime, own.read_bytes()))
    for revision in reversed(revisions):
        sources = [source for _, source in revision.binds or ()]
        if sources and not candidates and _is(project, project_behind(sources, revision.owner, projects)):
            candidates.append((revision.written_at, history.content(revision.number)))
    return max(candidates, key=lambda pair: pair[0], default=None)


def _is(project: Project, found: Project | None) -> bool:
    return found is not None and found.directory == project.directory
