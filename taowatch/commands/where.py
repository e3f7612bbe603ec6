"""Which directory, project and user a command is about."""

from __future__ import annotations

import os
from pathlib import Path

from taowatch.core.quoting import bash
from taowatch.errors import USAGE, TaowatchError
from taowatch.sources.projects import FILE


def nearest(directory: Path) -> Path:
    """The project at or above a directory. Raises TaowatchError where there is none."""
    directory = existing(directory)
    for candidate in (directory, *directory.parents):
        if (candidate / FILE).exists():
            return candidate
    raise TaowatchError(f"no project at or above {directory}", f"`taowatch init {bash(str(directory))}` makes it one")


def existing(directory: Path) -> Path:
    """The real path of a directory. Raises TaowatchError where there is none."""
    if not directory.is_dir():
        raise TaowatchError(f"there is no directory {directory}", "name the directory of the notebook", USAGE)
    return directory.resolve()


def user() -> str:
    """`uid:gid`, as the `user` of DockerOptions has it."""
    return f"{os.getuid()}:{os.getgid()}"
