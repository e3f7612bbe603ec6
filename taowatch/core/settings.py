"""`.taowatch.toml` -> ProjectSettings. A wrong key or type is refused with what would be accepted."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from taowatch.core.layout import LAYOUTS, LOCAL

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXPORTABLE = frozenset({"KEY", "NUM_GPUS"} | {rule.name for layout in LAYOUTS.values() for rule in layout.rules})
"""The names that a project may set: those of the TAO notebooks, never one that a shell or loader obeys."""


class BadSettings(ValueError):
    """One line: which key, what is wrong with it, what is accepted."""


@dataclass(frozen=True)
class ProjectSettings:
    """What `.taowatch.toml` says; what it leaves out follows from notebook and layout."""

    name: str | None = None
    notebook: str | None = None
    layout: str = LOCAL
    variables: Mapping[str, str] = field(default_factory=dict)


def parse_project(text: str) -> ProjectSettings:
    """Raises BadSettings."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadSettings(f"not TOML: {error}") from None
    unknown = sorted(document.keys() - {"name", "notebook", "layout", "variables"})
    if unknown:
        raise BadSettings(f"unknown key {unknown[0]!r} (accepted: name, notebook, layout, variables)")
    layout = document.get("layout", LOCAL)
    if layout not in LAYOUTS:
        raise BadSettings(f"layout is {layout!r} (accepted: {', '.join(sorted(LAYOUTS))})")
    return ProjectSettings(
        _string(document, "name"), _string(document, "notebook"), layout, _variables(document.get("variables", {}))
    )


def project_text(settings: ProjectSettings) -> str:
    """The file for these settings, with a sentence for each key."""
    lines = ["# taowatch: this directory is a TAO project. After a change: taowatch allow"]
    for key, value in (("name", settings.name), ("notebook", settings.notebook), ("layout", settings.layout)):
        if value is not None:
            lines.append(f"{key} = {_quoted(value)}")
    if settings.variables:
        lines += ["", "[variables]", *(f"{name} = {_quoted(value)}" for name, value in settings.variables.items())]
    return "\n".join(lines) + "\n"


def _string(document: Mapping[str, object], key: str) -> str | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadSettings(f"{key} must be a string that is not empty")
    return value


def _variables(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadSettings("variables must be a table: [variables]")
    for name, text in value.items():
        if name not in EXPORTABLE:
            raise BadSettings(f"variables.{name}: not a TAO variable (accepted: {', '.join(sorted(EXPORTABLE))})")
        if not isinstance(text, str) or "\0" in text:
            raise BadSettings(f"variables.{name} must be a string")
    return dict(value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
