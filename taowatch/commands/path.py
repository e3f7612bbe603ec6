"""`taowatch path`: what a host path is called in the container, and the reverse."""

from __future__ import annotations

import os
from pathlib import Path

from taowatch.commands.where import nearest
from taowatch.core.model import OK
from taowatch.core.translate import to_container, to_host
from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.paths import Paths
from taowatch.render import Result
from taowatch.sources.projects import resolve_project
from taowatch.sources.reading import read_mounts_file


def path(paths: Paths, text: str, project: Path | None) -> Result:
    """By the mounts file in force, or by a project's mapping. Raises TaowatchError where no mount has the path."""
    binds = _binds(paths, project)
    host = os.path.realpath(os.path.expanduser(text))
    inside = to_container(host, binds)
    if inside is not None:
        return _result(text, "host", inside)
    outside = to_host(os.path.normpath(text), binds) if text.startswith("/") else None
    if outside is not None:
        return _result(text, "container", outside)
    known = ", ".join(f"{source} -> {destination}" for destination, source in binds) or "nothing"
    raise TaowatchError(printable(f"no mount has {text} (mapped: {known})"), "`taowatch status` shows the mapping")


def _binds(paths: Paths, project: Path | None) -> list[tuple[str, str]]:
    if project is not None:
        resolved, _ = resolve_project(paths, nearest(project))
        return [(destination, os.path.realpath(source)) for source, destination in resolved.mounts]
    reading = read_mounts_file(str(paths.mounts_file), paths.home)
    if reading.state != OK:
        raise TaowatchError(
            printable(f"{reading.path} is {reading.state}" + (f": {reading.error}" if reading.error else "")),
            "name a project: taowatch path PATH --project DIR",
        )
    return list(reading.mapping.binds().items())


def _result(text: str, side: str, other: str) -> Result:
    document = {"path": text, "side": side, "host" if side == "container" else "container": other}
    return Result(printable(other), document)
