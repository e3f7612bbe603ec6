"""The known projects: the directories that were allowed, and what stands in their `.taowatch.toml` now."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from taowatch.core.layout import default_name
from taowatch.core.mapping import digest
from taowatch.core.model import Project
from taowatch.core.settings import BadSettings, ProjectSettings, parse_project
from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.paths import Paths

log = logging.getLogger(__name__)

FILE = ".taowatch.toml"
_LARGEST = 1024 * 1024


def read_settings(directory: Path) -> tuple[ProjectSettings, str]:
    """The settings of a project and the digest of their file. Raises TaowatchError with what is wrong with it."""
    file = directory / FILE
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            found = os.fstat(opened.fileno())
            content = opened.read(_LARGEST + 1)
    except FileNotFoundError:
        raise TaowatchError(
            f"{directory} is no project (no {FILE})", f"`taowatch init {directory}` makes it one"
        ) from None
    except OSError as error:
        raise TaowatchError(f"{file}: {error.strerror}") from None
    if found.st_mode & 0o022 or found.st_uid not in (os.getuid(), 0):
        raise TaowatchError(f"{file} can be written by others", f"chmod go-w {file}")
    if len(content) > _LARGEST:
        raise TaowatchError(f"{file} is larger than 1 MiB")
    try:
        return parse_project(content.decode("utf-8")), digest(content)
    except (BadSettings, UnicodeDecodeError) as error:
        raise TaowatchError(f"{file}: {error}", "mend it, then `taowatch allow`") from None


def read_projects(paths: Paths) -> tuple[Project, ...]:
    """Every directory that was ever allowed and is still there, and whether it is allowed as it stands."""
    return tuple(project for entry in _entries(paths) if (project := _project_or_none(entry)) is not None)


def _entries(paths: Paths) -> list[dict[str, str]]:
    entries = []
    for file in sorted(paths.projects.glob("*.json")):
        try:
            entry = json.loads(file.read_bytes())
            entries.append({"directory": str(entry["directory"]), "digest": str(entry["digest"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged and passed over: %s", file, error)
    return entries


def _project_or_none(entry: dict[str, str]) -> Project | None:
    try:
        return _project(entry)
    except (OSError, ValueError) as error:  # a name that no file system takes
        log.warning("an allowed project is damaged and passed over: %s", printable(str(error)[:200]))
        return None


def _project(entry: dict[str, str]) -> Project | None:
    directory = Path(entry["directory"])
    try:
        settings, now = read_settings(directory)
    except TaowatchError as error:
        if not (directory / FILE).exists():
            return None
        log.info("%s", error)
        return Project(str(directory), default_name(str(directory)), None, "local", False)
    name = settings.name or default_name(str(directory))
    notebook = str(directory / settings.notebook) if settings.notebook else None
    return Project(str(directory), name, notebook, settings.layout, now == entry["digest"])
