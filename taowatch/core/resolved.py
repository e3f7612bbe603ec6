"""One project, resolved: what its settings, its notebook and the layout's rules make of it together."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taowatch.core import layout
from taowatch.core.layout import BOTH, HOST_LAYOUT, LOCAL, Variable
from taowatch.core.settings import TAO_NAMES, ProjectSettings

CONFIG, NOTEBOOK, RULE = "config", "notebook", "rule"


@dataclass(frozen=True)
class Place:
    """Where in a notebook something stands: cell and line, both counted from 1."""

    cell: int
    line: int


@dataclass(frozen=True)
class Problem:
    """Something in a notebook that will fail, or cannot be known, in one line."""

    text: str
    place: Place | None = None
    placeholder: bool = False


@dataclass(frozen=True)
class ShellCommand:
    """A `!command` of a notebook."""

    place: Place
    text: str


@dataclass(frozen=True)
class NotebookFacts:
    """What the set-up cells of a notebook leave behind, read without running them."""

    path: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment variables as they stand when the mapping cell has run."""
    mapping: Mapping[str, Any] | None = None
    """The document that its mapping cell writes; None where there is no such cell or it cannot be known."""
    problems: tuple[Problem, ...] = ()
    shell: tuple[ShellCommand, ...] = ()
    """All `!` lines of all cells, in their order."""
    writes_mapping: bool = False
    """Whether a cell writes the mounts file, also where it cannot be known what."""


@dataclass(frozen=True)
class Resolved:
    """A project as `env`, `allow`, `check`, `apply` and `run` use it."""

    directory: str
    """Its real path."""
    name: str
    layout: str
    variables: tuple[Variable, ...]
    mounts: tuple[tuple[str, str], ...]
    """(source, destination), as the mapping cell writes them."""
    docker_options: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notebook: NotebookFacts | None = None

    @property
    def values(self) -> dict[str, str]:
        return {variable.name: variable.value for variable in self.variables}

    def mapping(self, user: str) -> dict[str, Any]:
        """The document for the mounts file: the notebook's as it writes it, else one with `user` (`uid:gid`)."""
        if self.notebook is not None and self.notebook.mapping is not None:
            return dict(self.notebook.mapping)
        mounts = [{"source": source, "destination": destination} for source, destination in self.mounts]
        return {"Mounts": mounts, "DockerOptions": {"user": user}}


def resolve(directory: str, settings: ProjectSettings, notebook: NotebookFacts | None) -> Resolved:
    """`directory` must be a real path. Settings come before the notebook, and both before the rules."""
    found = notebook.variables if notebook else {}
    chosen = settings.layout or layout_of(found)
    name = settings.name or _name_in(found) or layout.default_name(directory)
    given = {key: (value, NOTEBOOK) for key, value in found.items() if key in TAO_NAMES or key in settings.export}
    given.update({key: (value, CONFIG) for key, value in settings.variables.items()})
    variables = layout.variables(chosen, directory, name, given)
    known = {variable.name for variable in variables}
    more = tuple(
        Variable(key, value, BOTH, origin) for key, (value, origin) in sorted(given.items()) if key not in known
    )
    variables = (*variables, *more)
    mapping = notebook.mapping if notebook else None
    return Resolved(
        directory=directory,
        name=name,
        layout=chosen,
        variables=variables,
        mounts=_mounts(mapping) if mapping is not None else layout.mounts(chosen, variables),
        docker_options=_options(mapping),
        problems=notebook.problems if notebook else (),
        notebook=notebook,
    )


def layout_of(variables: Mapping[str, str]) -> str:
    """The layout whose names a notebook uses (launcher-facts: two families cover all)."""
    return HOST_LAYOUT if any(name.startswith("HOST_") for name in variables) else LOCAL


def _name_in(variables: Mapping[str, str]) -> str | None:
    """The project's name as the notebook's own container path has it."""
    path = variables.get("USER_EXPERIMENT_DIR", "")
    return posixpath.basename(path.rstrip("/")) or None


def _mounts(mapping: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(m["source"]), str(m["destination"])) for m in _entries(mapping, "Mounts") if _is_mount(m))


def _is_mount(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("source"), str) and isinstance(entry.get("destination"), str)


def _entries(mapping: Mapping[str, Any] | None, key: str) -> tuple[Mapping[str, Any], ...]:
    value = (mapping or {}).get(key)
    return tuple(entry for entry in value if isinstance(entry, Mapping)) if isinstance(value, (list, tuple)) else ()


def _options(mapping: Mapping[str, Any] | None) -> Mapping[str, Any]:
    value = (mapping or {}).get("DockerOptions")
    return value if isinstance(value, Mapping) else {}
