"""`taowatch env`: a project's variables for a shell, as JSON, or explained."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taowatch.commands.where import nearest
from taowatch.core.layout import BOTH, CONTAINER, Variable
from taowatch.core.quoting import bash, fish
from taowatch.core.resolved import CONFIG, Problem, Resolved
from taowatch.core.settings import KeySource, ProjectSettings
from taowatch.core.translate import to_host
from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.paths import Paths
from taowatch.render import Result
from taowatch.sources.projects import resolve_project

_LARGEST_KEY = 64 * 1024
_KEY_TIMEOUT = 30
"""Seconds for the user's own command."""


def env(paths: Paths, environ: Mapping[str, str], directory: Path, form: str) -> Result:
    """The variables of the project at or above `directory`, as `bash`, `zsh`, `fish`, `dotenv` or `explain`."""
    project = nearest(directory)
    resolved, settings = resolve_project(paths, project)
    if form == "explain":
        return Result(_explained(paths, environ, resolved, settings), _document(resolved, resolved.variables))
    known = exported(project, settings, resolved)
    stream = "".join(_LINE[form](variable) + "\n" for variable in known)
    return Result("", _document(resolved, known), stream=stream.encode("utf-8", "surrogateescape"))


def exported(directory: Path, settings: ProjectSettings, resolved: Resolved) -> tuple[Variable, ...]:
    """What the shells get: the project's variables, and KEY where the user opted in. Raises TaowatchError."""
    if settings.key is None:
        return resolved.variables
    return (Variable("KEY", _key(directory, settings.key), BOTH, CONFIG), *resolved.variables)


def problem_text(problem: Problem) -> str:
    """A problem with its place."""
    place = f"cell {problem.place.cell}, line {problem.place.line}: " if problem.place else ""
    return f"{place}{problem.text}"


def _key(directory: Path, source: KeySource) -> str:
    if source.value is not None:
        return source.value
    try:
        value = _from_file(directory, source.file) if source.file else _from_command(directory, source.command)
        text = value.decode().strip()
    except UnicodeDecodeError:
        raise TaowatchError("KEY is not UTF-8", "see [key] in .taowatch.toml") from None
    if not text or "\0" in text:
        raise TaowatchError("KEY is empty, or holds a zero byte", "see [key] in .taowatch.toml")
    return text


def _from_file(directory: Path, name: str) -> bytes:
    try:
        with open(directory / Path(name).expanduser(), "rb") as file:
            return file.read(_LARGEST_KEY)
    except OSError as error:
        raise TaowatchError(f"KEY: {error.filename}: {error.strerror}", "see [key] in .taowatch.toml") from None


def _from_command(directory: Path, command: tuple[str, ...]) -> bytes:
    try:
        done = subprocess.run(
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=_KEY_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TaowatchError(f"KEY: {command[0]}: {error}", "see [key] in .taowatch.toml") from None
    if done.returncode:
        raise TaowatchError(f"KEY: {command[0]} ended with {done.returncode}", "see [key] in .taowatch.toml")
    return done.stdout[:_LARGEST_KEY]


def _document(resolved: Resolved, known: tuple[Variable, ...]) -> dict[str, Any]:
    return {
        "project": resolved.directory,
        "name": resolved.name,
        "layout": resolved.layout,
        "notebook": resolved.notebook.path if resolved.notebook else None,
        "variables": {v.name: {"value": v.value, "side": v.side, "from": v.origin} for v in known},
        "mounts": [{"source": s, "destination": d} for s, d in resolved.mounts],
        "docker_options": dict(resolved.docker_options),
        "problems": [problem_text(problem) for problem in resolved.problems],
    }


def _explained(paths: Paths, environ: Mapping[str, str], resolved: Resolved, settings: ProjectSettings) -> str:
    notebook = os.path.basename(resolved.notebook.path) if resolved.notebook else "no notebook"
    lines = [f"{resolved.name}  {resolved.directory}  ({notebook}, layout {resolved.layout})", ""]
    rows = [(v.name, v.side, v.value, v.origin, _there(v, resolved)) for v in resolved.variables]
    if settings.key is None:
        rows.insert(0, ("KEY", BOTH, "your own", "not exported", "opt in with [key] in .taowatch.toml"))
    else:
        rows.insert(0, ("KEY", BOTH, "(not shown)", CONFIG, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True))
        lines.append("  " + "  ".join([*cells, row[4]]).rstrip())
    lines += ["", "  In the container                       On the host"]
    lines += [f"  {destination:37}  {source}" for source, destination in resolved.mounts]
    lines += _inherited(paths, environ, resolved)
    lines += [f"  ! {problem_text(problem)}" for problem in resolved.problems]
    return "\n".join(printable(line) for line in lines)


def _there(variable: Variable, resolved: Resolved) -> str:
    """Whether the folder is there; a container path is looked for where its mount leads."""
    path: str | None = variable.value
    if not variable.value.startswith("/"):
        return ""
    if variable.side == CONTAINER:
        path = to_host(variable.value, [(destination, source) for source, destination in resolved.mounts])
        if path is None:
            return "no mount covers it"
    return "exists" if path and os.path.exists(path) else "missing"


def _inherited(paths: Paths, environ: Mapping[str, str], resolved: Resolved) -> list[str]:
    """What this shell (and every notebook started from it) already has, where it disagrees with the project."""
    lines = []
    for name, value in resolved.values.items():
        if name in environ and environ[name] != value:
            lines.append(f"  ! this shell has {name}={environ[name]}, the project {value}")
    own = str(paths.launcher_mounts(Path(resolved.directory)))
    inherited = environ.get("LAUNCHER_MOUNTS")
    if inherited and inherited != own:
        lines.append(
            f"  ! this shell has LAUNCHER_MOUNTS={inherited}, which is not this project's: "
            "tao would mount what stands there; unset LAUNCHER_MOUNTS"
        )
    return ["", *lines] if lines else []


_LINE: dict[str, Callable[[Variable], str]] = {
    "bash": lambda v: f"export {v.name}={bash(v.value)}",
    "zsh": lambda v: f"export {v.name}={bash(v.value)}",
    "fish": lambda v: f"set -gx {v.name} {fish(v.value)}",
    "dotenv": lambda v: f"{v.name}={bash(v.value)}",
}
