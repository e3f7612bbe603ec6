"""`taowatch init`, `allow` and `deny`: a directory becomes a project, and is trusted or not."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from taowatch.commands.env import env, exported
from taowatch.commands.where import existing, user
from taowatch.core.layout import LAYOUTS, Variable
from taowatch.core.mapping import digest
from taowatch.core.quoting import bash
from taowatch.core.resolved import Resolved
from taowatch.core.settings import ProjectSettings, project_text
from taowatch.core.wording import printable
from taowatch.errors import USAGE, TaowatchError
from taowatch.paths import Paths, private_directory, write_atomically
from taowatch.render import Result
from taowatch.sinks.own_mounts import follow_mapping
from taowatch.sinks.shell_snippets import remove_snippet, write_snippet
from taowatch.sources.notebook_files import notebooks_of, read_facts
from taowatch.sources.projects import FILE, read_settings, refuse_if_open, resolve_project

Choose = Callable[[Sequence[Path]], Path]
"""Asks which of several notebooks is meant."""


def init(paths: Paths, target: Path, layout: str | None, choose: Choose | None = None) -> Result:
    """Write `.taowatch.toml` where there is none, allow the project, and show its variables.

    `target` is a directory or a notebook in it. Raises TaowatchError where several notebooks could be meant and there
    is nobody to ask.
    """
    if layout is not None and layout not in LAYOUTS:
        raise TaowatchError(f"there is no layout {layout}", f"accepted: {', '.join(sorted(LAYOUTS))}", USAGE)
    directory = existing(target.parent if target.suffix == ".ipynb" else target)
    if target.suffix == ".ipynb" and not target.is_file():
        raise TaowatchError(f"there is no notebook {target}", "name one that exists, or its directory", USAGE)
    if not (directory / FILE).exists():
        notebook = target if target.suffix == ".ipynb" else _notebook(paths, directory, choose)
        settings = ProjectSettings(notebook=notebook.name if notebook else None, layout=layout)
        write_atomically(directory / FILE, project_text(settings).encode("utf-8", "surrogateescape"), 0o644)
    said = allow(paths, directory)
    shown = env(paths, os.environ, directory, "explain")
    return Result(f"{said.text}\n\n{shown.text}", shown.document)


def allow(paths: Paths, directory: Path) -> Result:
    """Trust the project as it stands: its variables are exported from now on. What changed since last time is shown."""
    directory = existing(directory)
    settings, content = read_settings(directory)
    refuse_if_open(directory)
    resolved, _ = resolve_project(paths, directory)
    changes = _changes(_entry(paths, directory), content)
    known = exported(directory, settings, resolved)
    if settings.isolate:
        own = paths.launcher_mounts(directory)
        _prepare_own(own, resolved)
        known = (*known, Variable("LAUNCHER_MOUNTS", str(own), "host", "config"))
    write_snippet(paths, directory, resolved.name, known, quiet=settings.quiet)
    private_directory(paths.state)
    private_directory(paths.projects)
    entry = {"directory": str(directory), "digest": digest(content), "content": content.decode()}
    write_atomically(_entry(paths, directory), json.dumps(entry).encode())
    text = f"Allowed: {printable(str(directory))} exports {len(known)} variables."
    return Result("\n".join([*changes, text]))


def deny(paths: Paths, directory: Path) -> Result:
    """Trust the project no more."""
    directory = directory.resolve()
    _entry(paths, directory).unlink(missing_ok=True)
    remove_snippet(paths, directory)
    return Result(f"Denied: nothing is exported in {printable(str(directory))} any more.")


def _prepare_own(own: Path, resolved: Resolved) -> None:
    # A file that is not there would mount nothing at all, silently: one that the launcher refuses is better.
    if not own.exists():
        follow_mapping(own, json.dumps(resolved.mapping(user()), indent=4).encode())


def _notebook(paths: Paths, directory: Path, choose: Choose | None) -> Path | None:
    """The notebook with a mapping cell; of several the one that the user chooses."""
    found = notebooks_of(directory)
    mapping = [path for path in found if read_facts(path, paths.home).mapping is not None] if len(found) > 1 else found
    candidates = mapping or found
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    if choose is None:
        names = ", ".join(bash(path.name) for path in candidates)
        raise TaowatchError(f"{directory} has several notebooks", f"name one: taowatch init {names}", USAGE)
    return choose(candidates)


def _changes(entry: Path, content: bytes) -> list[str]:
    """What changed since the project was allowed, for the person who allows it again."""
    try:
        before = str(json.loads(entry.read_bytes())["content"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    now = content.decode().splitlines()
    lines = list(difflib.unified_diff(before.splitlines(), now, "allowed before", "allowed now", lineterm=""))
    return [*map(printable, lines), ""] if lines else []


def _entry(paths: Paths, directory: Path) -> Path:
    return paths.projects / f"{digest(str(directory).encode('utf-8', 'surrogateescape'))[:24]}.json"
