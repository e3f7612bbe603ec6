"""`.taowatch.toml` -> ProjectSettings. A wrong key or type is refused with its line and what would be accepted."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taowatch.core.layout import LAYOUTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEYS: Mapping[str, str] = {
    "name": "the project's name, by default that of its directory",
    "notebook": "the notebook in it that sets the variables",
    "layout": "local or host: the rules for what the notebook leaves open",
    "isolate": "true: every tao command in it uses the project's own mounts file",
    "quiet": "true: the hook says nothing on entering it",
    "export": "names of the notebook's other variables to export",
    "variables": "a table of values that take precedence over the notebook's",
    "key": "a table with one of value, file, command: exports KEY",
}
"""Every key with its sentence."""

TAO_NAMES = frozenset({"NUM_GPUS"} | {rule.name for layout in LAYOUTS.values() for rule in layout.rules})
"""What is exported without being asked for: the variables of the TAO notebooks but KEY."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OBEYED = re.compile(
    r"(PATH|CDPATH|MANPATH|FPATH|HOME|SHELL|USER|LOGNAME|PWD|OLDPWD|TMPDIR|TERM|TERMINFO|DISPLAY|EDITOR|VISUAL|PAGER|BROWSER"
    r"|IFS|ENV|OPTIND|OPTARG|OPTERR|REPLY|RANDOM|SECONDS|LINENO|UID|EUID|GID|EGID|PPID|USERNAME|MAIL|MAILPATH|HISTFILE"
    r"|PROMPT|RPROMPT|PROMPT_COMMAND|PS[0-9]|POSIXLY_CORRECT|SHELLOPTS|FUNCNAME|GLOBIGNORE|INPUTRC|FCEDIT|READNULLCMD"
    r"|NULLCMD|STARSHIP_.*|BASH.*|ZDOTDIR|ZSH.*|FISH.*|fish_.*|__.*|HIST.*|LD_.*|DYLD_.*|PYTHON.*|PERL.*|RUBY.*|NODE_.*|GIT_.*"
    r"|SSH_.*|SUDO_.*|GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES|RES_OPTIONS|MALLOC_.*|GLIBC_.*|LC_.*|LANG|LANGUAGE|TZ|XDG_.*"
    r"|DBUS_.*|SYSTEMD_.*|NOTIFY_SOCKET|DOCKER_.*|LAUNCHER_MOUNTS|TAOWATCH_.*|LESSOPEN|LESSCLOSE|MAKEFLAGS|JAVA_TOOL_OPTIONS"
    r"|_JAVA_OPTIONS|CLASSPATH|VIRTUAL_ENV|CONDA_.*|PIP_.*|HTTPS?_PROXY|https?_proxy|ALL_PROXY|all_proxy|argv|status|path)"
)
"""What loaders, shells and tools obey: such a name would make of a project directory a program that is run."""


class BadSettings(ValueError):
    """One line: where, which key, what is wrong with it, what is accepted."""


@dataclass(frozen=True)
class KeySource:
    """Where KEY comes from, for who opted in: exactly one of the three is set."""

    value: str | None = None
    file: str | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProjectSettings:
    """What `.taowatch.toml` says; what it leaves out follows from notebook and layout."""

    name: str | None = None
    notebook: str | None = None
    layout: str | None = None
    isolate: bool = False
    quiet: bool = False
    export: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    key: KeySource | None = None


def parse_project(text: str) -> ProjectSettings:
    """Raises BadSettings."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadSettings(f"not TOML: {error}") from None
    read = _Reader(text)
    unknown = sorted(document.keys() - KEYS.keys())
    if unknown:
        raise read.wrong(unknown[0], f"unknown key {unknown[0]} (accepted: {', '.join(KEYS)})")
    return ProjectSettings(
        name=read.string(document, "name"),
        notebook=read.string(document, "notebook"),
        layout=read.layout(document),
        isolate=read.flag(document, "isolate"),
        quiet=read.flag(document, "quiet"),
        export=read.names(document, "export"),
        variables=read.variables(document),
        key=read.key(document),
    )


def project_text(settings: ProjectSettings) -> str:
    """The file for these settings."""
    lines = ["# taowatch: this directory is a TAO project. After a change: taowatch allow"]
    for key in ("name", "notebook", "layout"):
        value = getattr(settings, key)
        if value is not None:
            lines.append(f"{key} = {_quoted(value)}")
    lines += [f"{key} = true" for key in ("isolate", "quiet") if getattr(settings, key)]
    if settings.export:
        lines.append(f"export = [{', '.join(_quoted(name) for name in settings.export)}]")
    if settings.variables:
        lines += ["", "[variables]", *(f"{name} = {_quoted(value)}" for name, value in settings.variables.items())]
    if settings.key is not None:
        lines += ["", "[key]", _key_line(settings.key)]
    return "\n".join(lines) + "\n"


def is_exportable(name: str) -> bool:
    """Whether a project may set this variable at all."""
    return bool(_NAME.fullmatch(name)) and not _OBEYED.fullmatch(name)


class _Reader:
    """Reads values out of the document, and finds the line of one that is wrong."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def wrong(self, key: str, reason: str) -> BadSettings:
        """The error for a key, with its line where it can be found."""
        last = key.rpartition(".")[2]
        pattern = re.compile(rf"\s*\[?\s*[\"']?{re.escape(last)}[\"']?\s*[=\].]")
        number = next((n for n, line in enumerate(self._lines, start=1) if pattern.match(line)), None)
        return BadSettings(f"line {number}: {reason}" if number else reason)

    def string(self, table: Mapping[str, Any], key: str, prefix: str = "") -> str | None:
        value = table.get(key)
        if value is not None and (not isinstance(value, str) or not value or "\0" in value):
            raise self.wrong(prefix + key, f"{prefix}{key} must be a string that is not empty")
        return value

    def flag(self, document: Mapping[str, Any], key: str) -> bool:
        value = document.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{key} must be true or false")
        return value

    def layout(self, document: Mapping[str, Any]) -> str | None:
        value = self.string(document, "layout")
        if value is not None and value not in LAYOUTS:
            raise self.wrong("layout", f"layout is {value!r} (accepted: {', '.join(LAYOUTS)})")
        return value

    def names(self, document: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = document.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.wrong(key, f'{key} must be a list of names, as in ["MODEL_NAME"]')
        for name in value:
            self._name(name, key)
        return tuple(dict.fromkeys(value))

    def variables(self, document: Mapping[str, Any]) -> dict[str, str]:
        value = document.get("variables", {})
        if not isinstance(value, dict):
            raise self.wrong("variables", "variables must be a table: [variables]")
        for name, text in value.items():
            self._name(name, f"variables.{name}")
            if not isinstance(text, str) or "\0" in text:
                raise self.wrong(name, f"variables.{name} must be a string")
        return dict(value)

    def key(self, document: Mapping[str, Any]) -> KeySource | None:
        value = document.get("key")
        if value is None:
            return None
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= {"value", "file", "command"}:
            raise self.wrong("key", "key must be a table with exactly one of value, file, command")
        command = value.get("command", [])
        if not isinstance(command, list) or not all(isinstance(word, str) and word for word in command):
            raise self.wrong("command", 'key.command must be a list of words, as in ["pass", "show", "ngc"]')
        if "command" in value and not command:
            raise self.wrong("command", "key.command names no program")
        return KeySource(self.string(value, "value", "key."), self.string(value, "file", "key."), tuple(command))

    def _name(self, name: str, key: str) -> None:
        if name == "KEY":
            raise self.wrong(key, f"{key}: KEY has a table of its own, [key], with one of value, file, command")
        if not is_exportable(name):
            raise self.wrong(key, f"{key}: {name!r} is no name that a project may set (shells and loaders obey it)")


def _key_line(key: KeySource) -> str:
    if key.command:
        return f"command = [{', '.join(_quoted(word) for word in key.command)}]"
    return f"value = {_quoted(key.value)}" if key.value is not None else f"file = {_quoted(key.file or '')}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
