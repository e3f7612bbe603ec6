"""The known projects: the directories that were allowed, and what stands in their `.taowatch.toml` now."""

from __future__ import annotations

import grp
import json
import logging
import os
import pwd
from pathlib import Path

from taowatch.core.layout import LOCAL, default_name
from taowatch.core.mapping import digest
from taowatch.core.model import Project
from taowatch.core.resolved import Resolved, resolve
from taowatch.core.settings import BadSettings, ProjectSettings, parse_project
from taowatch.core.trust import Ownership, writable_by_others
from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.paths import Paths
from taowatch.sources.notebook_files import notebooks_of, read_facts

log = logging.getLogger(__name__)

FILE = ".taowatch.toml"
_LARGEST = 1024 * 1024


def read_settings(directory: Path) -> tuple[ProjectSettings, bytes]:
    """The settings of a project and the content of their file. Raises TaowatchError with what is wrong with it."""
    file = directory / FILE
    content = _content(directory, file)
    try:
        return parse_project(content.decode("utf-8")), content
    except (BadSettings, UnicodeDecodeError) as error:
        raise TaowatchError(f"{file}: {error}", "mend it, then `taowatch allow`") from None


def resolve_project(paths: Paths, directory: Path) -> tuple[Resolved, ProjectSettings]:
    """A project with its settings, its notebook and the rules. `directory` must be a real path.

    Raises TaowatchError where it is no project, or its settings are wrong.
    """
    settings, _ = read_settings(directory)
    notebook = _notebook(directory, settings)
    return resolve(str(directory), settings, read_facts(notebook, paths.home) if notebook else None), settings


def refuse_if_open(path: Path) -> None:
    """Raises TaowatchError where others may change what lies at `path`."""
    if _open_to_others(path.stat()):
        raise TaowatchError(f"{path} can be written by others", f"chmod go-w {path}")


def _content(directory: Path, file: Path) -> bytes:
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
    if _open_to_others(found):
        raise TaowatchError(f"{file} can be written by others", f"chmod go-w {file}")
    if len(content) > _LARGEST:
        raise TaowatchError(f"{file} is larger than 1 MiB")
    return content


def _open_to_others(found: os.stat_result) -> bool:
    return writable_by_others(Ownership(found.st_mode, found.st_uid, _is_private(found.st_gid)), os.getuid())


def _is_private(gid: int) -> bool:
    try:
        group = grp.getgrgid(gid)
        return gid == os.getgid() and set(group.gr_mem) <= {pwd.getpwuid(os.getuid()).pw_name}
    except KeyError:
        return False


def _notebook(directory: Path, settings: ProjectSettings) -> Path | None:
    """The notebook that the settings name, else the only one there is."""
    if settings.notebook:
        return directory / settings.notebook
    found = notebooks_of(directory)
    return found[0] if len(found) == 1 else None


def read_projects(paths: Paths) -> tuple[Project, ...]:
    """Every directory that was ever allowed and is still there, and whether it is allowed as it stands."""
    return tuple(project for entry in _entries(paths) if (project := _project_or_none(paths, entry)) is not None)


def _entries(paths: Paths) -> list[dict[str, str]]:
    entries = []
    for file in sorted(paths.projects.glob("*.json")):
        try:
            entry = json.loads(file.read_bytes())
            entries.append({"directory": str(entry["directory"]), "digest": str(entry["digest"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged and passed over: %s", file, error)
    return entries


def _project_or_none(paths: Paths, entry: dict[str, str]) -> Project | None:
    try:
        return _project(paths, entry)
    except (OSError, ValueError) as error:  # a name that no file system takes
        log.warning("an allowed project is damaged and passed over: %s", printable(str(error)[:200]))
        return None


def _project(paths: Paths, entry: dict[str, str]) -> Project | None:
    directory = Path(entry["directory"])
    try:
        settings, content = read_settings(directory)
    except TaowatchError as error:
        if not (directory / FILE).exists():
            return None
        log.info("%s", error)
        return Project(str(directory), default_name(str(directory)), None, LOCAL, False, _own_file(paths, directory))
    name = settings.name or default_name(str(directory))
    notebook = str(directory / settings.notebook) if settings.notebook else None
    own = _own_file(paths, directory, settings.isolate)
    allowed = digest(content) == entry["digest"]
    return Project(str(directory), name, notebook, settings.layout or LOCAL, allowed, own)


def _own_file(paths: Paths, directory: Path, isolate: bool = False) -> str | None:
    """The project's own mounts file, where it is isolated or `taowatch run` made one."""
    file = paths.launcher_mounts(directory)
    return str(file) if isolate or file.exists() else None
