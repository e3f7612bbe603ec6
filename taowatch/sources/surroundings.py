"""What the machine says about a project, for `taowatch check`."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Mapping
from pathlib import Path

from taowatch.core.check import MISSING, OK, UNWRITABLE, SpecFile, Surroundings
from taowatch.core.layout import HOST
from taowatch.core.mapping import Mapping as MountsMapping
from taowatch.core.mapping import Rejected, parse
from taowatch.core.model import INVALID
from taowatch.core.model import OK as VALID
from taowatch.core.resolved import Resolved
from taowatch.paths import Paths
from taowatch.sources.reading import HostPaths, Reading, read_mounts_file

_SPEC_NAMES = (".yaml", ".yml", ".txt", ".json")
_LARGEST_SPEC = 1024 * 1024
_MOST_SPECS = 500
_GPUS = Path("/proc/driver/nvidia/gpus")


def look_around(paths: Paths, environ: Mapping[str, str], project: Resolved, user: str) -> Surroundings:
    """Everything that the rules of `check` ask of the machine. Never raises for what it finds."""
    mapping, refused = _judged(paths, project, user)
    now = read_mounts_file(str(paths.mounts_file), paths.home)
    return Surroundings(
        folders={v.value: _folder(v.value) for v in project.variables if v.side == HOST and v.value.startswith("/")},
        exists=lambda path: bool(glob.glob(path, recursive=True)) if glob.has_magic(path) else os.path.exists(path),
        specs=_specs(project),
        mapping=mapping,
        refused=refused,
        in_force=now.mapping if now.state == VALID else None,
        mounts_file=str(paths.mounts_file),
        mounts_error=_mounts_error(now),
        gpus=_count_gpus(),
        environ=environ,
        own_file=str(paths.launcher_mounts(Path(project.directory))),
    )


def _judged(paths: Paths, project: Resolved, user: str) -> tuple[MountsMapping | None, str | None]:
    content = json.dumps(project.mapping(user)).encode("utf-8", "surrogatepass")
    try:
        return parse(content, HostPaths(paths.home)), None
    except Rejected as error:
        return None, str(error)


def _mounts_error(now: Reading) -> str | None:
    # None at all is no finding: the mapping cell has not run yet, which is the next thing that a beginner does.
    return f"the launcher would refuse it: {now.error}" if now.state == INVALID else None


def _folder(path: str) -> str:
    if not os.path.isdir(path):
        return MISSING
    return OK if os.access(path, os.W_OK | os.X_OK) else UNWRITABLE


def _specs(project: Resolved) -> tuple[SpecFile, ...]:
    values = project.values
    folder = values.get("LOCAL_SPECS_DIR") or values.get("HOST_SPECS_DIR") or f"{project.directory}/specs"
    found: list[SpecFile] = []
    for directory, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(directory, name)
            if name.endswith(_SPEC_NAMES) and len(found) < _MOST_SPECS and (text := _text(path)) is not None:
                found.append(SpecFile(path, text))
    return tuple(found)


def _text(path: str) -> str | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(_LARGEST_SPEC).decode("utf-8", "replace")
    except OSError:
        return None


def _count_gpus() -> int | None:
    try:
        return len(list(_GPUS.iterdir()))
    except OSError:
        return None
