"""`taowatch init`, `allow`, `deny` and `env`: a directory becomes a project, is trusted, and gives its variables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taowatch.core.layout import LAYOUTS, Variable, default_name, mounts, variables
from taowatch.core.mapping import digest
from taowatch.core.quoting import bash, fish
from taowatch.core.settings import ProjectSettings, project_text
from taowatch.core.wording import printable
from taowatch.errors import USAGE, TaowatchError
from taowatch.paths import Paths, private_directory, write_atomically
from taowatch.render import Result
from taowatch.sinks.shell_snippets import remove_snippet, write_snippet
from taowatch.sources.projects import FILE, read_settings

SECRET = frozenset({"KEY"})


def init(paths: Paths, directory: Path, layout: str) -> Result:
    """Write `.taowatch.toml` where there is none, allow the project, and show its variables."""
    directory = _real(directory)
    if layout not in LAYOUTS:
        raise TaowatchError(f"there is no layout {layout}", f"accepted: {', '.join(sorted(LAYOUTS))}", USAGE)
    if not (directory / FILE).exists():
        settings = ProjectSettings(name=default_name(str(directory)), layout=layout)
        write_atomically(directory / FILE, project_text(settings).encode(), 0o644)
    allow(paths, directory)
    return env(paths, directory, "explain")


def allow(paths: Paths, directory: Path) -> Result:
    """Trust the project as it stands: its variables are exported from now on."""
    directory = _real(directory)
    settings, content_digest = read_settings(directory)
    private_directory(paths.state)
    private_directory(paths.projects)
    entry = {"directory": str(directory), "digest": content_digest}
    write_atomically(_entry(paths, directory), json.dumps(entry).encode())
    known = _variables(directory, settings)
    exported = [variable for variable in known if variable.name not in SECRET]
    write_snippet(paths, directory, _name(directory, settings), exported)
    return Result(f"Allowed: {printable(str(directory))} exports {len(exported)} variables.")


def deny(paths: Paths, directory: Path) -> Result:
    """Trust the project no more."""
    directory = directory.resolve()
    _entry(paths, directory).unlink(missing_ok=True)
    remove_snippet(paths, directory)
    return Result(f"Denied: nothing is exported in {printable(str(directory))} any more.")


def env(paths: Paths, directory: Path, form: str) -> Result:
    """The variables of the project at or above `directory`, as `bash`, `zsh`, `fish`, `dotenv`, `json` or `explain`."""
    project = nearest(directory)
    settings, _ = read_settings(project)
    known = _variables(project, settings)
    document = _document(project, settings, known)
    if form == "explain":
        return Result(_table(project, settings, known), document)
    lines = [_LINE[form](variable) for variable in known] if form in _LINE else []
    return Result("", document, stream="".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))


def _variables(directory: Path, settings: ProjectSettings) -> tuple[Variable, ...]:
    given = {name: (value, "config") for name, value in settings.variables.items()}
    return variables(settings.layout, str(directory), _name(directory, settings), given)


def _name(directory: Path, settings: ProjectSettings) -> str:
    return settings.name or default_name(str(directory))


def default_mapping(paths: Paths, directory: Path) -> dict[str, Any]:
    """What the mapping cell of a notebook of the project's layout would write. Raises TaowatchError."""
    settings, _ = read_settings(directory)
    known = _variables(directory, settings)
    return {
        "Mounts": [{"source": s, "destination": d} for s, d in mounts(settings.layout, known)],
        "DockerOptions": {"user": f"{os.getuid()}:{os.getgid()}"},
    }


def nearest(directory: Path) -> Path:
    """The project at or above a directory. Raises TaowatchError where there is none."""
    directory = _real(directory)
    for candidate in (directory, *directory.parents):
        if (candidate / FILE).exists():
            return candidate
    raise TaowatchError(f"no project at or above {directory}", f"`taowatch init {bash(str(directory))}` makes it one")


def _real(directory: Path) -> Path:
    if not directory.is_dir():
        raise TaowatchError(f"there is no directory {directory}", "name the directory of the notebook", USAGE)
    return directory.resolve()


def _entry(paths: Paths, directory: Path) -> Path:
    return paths.projects / f"{digest(str(directory).encode('utf-8', 'surrogateescape'))[:24]}.json"


def _document(directory: Path, settings: ProjectSettings, known: tuple[Variable, ...]) -> dict[str, Any]:
    return {
        "project": str(directory),
        "layout": settings.layout,
        "variables": {v.name: {"value": v.value, "side": v.side, "from": v.origin} for v in known},
        "mounts": [{"source": s, "destination": d} for s, d in mounts(settings.layout, known)],
        "docker_options": {},
        "problems": [],
    }


def _table(directory: Path, settings: ProjectSettings, known: tuple[Variable, ...]) -> str:
    width = max(len(variable.name) for variable in known)
    lines = [f"{_name(directory, settings)}  {directory}  (layout {settings.layout})", ""]
    for variable in known:
        value = "(not shown)" if variable.name in SECRET else variable.value
        lines.append(f"  {variable.name:{width}}  {variable.side:9}  {value}  ({variable.origin})")
    return "\n".join(printable(line) for line in lines)


_LINE: dict[str, Callable[[Variable], str]] = {
    "bash": lambda v: f"export {v.name}={bash(v.value)}",
    "zsh": lambda v: f"export {v.name}={bash(v.value)}",
    "fish": lambda v: f"set -gx {v.name} {fish(v.value)}",
    "dotenv": lambda v: f"{v.name}={bash(v.value)}",
}
