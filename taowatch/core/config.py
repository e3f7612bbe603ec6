"""`config.toml` -> Config: the user's own settings. Every key has a default, and a sentence that says what it does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WARN, RESTORE, BLOCK = "warn", "restore", "block"
POLICIES = (WARN, RESTORE, BLOCK)


class BadConfig(ValueError):
    """One line: which key, what is wrong with it, what is accepted."""


@dataclass(frozen=True)
class Config:
    """What the user chose."""

    on_conflict: str = WARN
    """`warn`; `restore` puts the running job's mapping back at once; `block` makes the file read-only meanwhile."""
    command: tuple[str, ...] = ()
    """The words of a command that is run for each conflict, with the conflict as JSON on its standard input."""


def parse_config(text: str) -> Config:
    """Raises BadConfig."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadConfig(f"not TOML: {error}") from None
    _only(document, ("on_conflict", "notify"), "")
    policy = document.get("on_conflict", WARN)
    if policy not in POLICIES:
        raise BadConfig(f"on_conflict is {policy!r} (accepted: {', '.join(POLICIES)})")
    notify = document.get("notify", {})
    if not isinstance(notify, dict):
        raise BadConfig("notify must be a table: [notify]")
    _only(notify, ("command",), "notify.")
    return Config(policy, _command(notify.get("command", [])))


def _only(table: Mapping[str, Any], accepted: tuple[str, ...], prefix: str) -> None:
    unknown = sorted(table.keys() - set(accepted))
    if unknown:
        raise BadConfig(f"unknown key {prefix}{unknown[0]} (accepted: {', '.join(prefix + key for key in accepted)})")


def _command(value: object) -> tuple[str, ...]:
    words = value if isinstance(value, list) else None
    if words is None or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise BadConfig('notify.command must be a list of words, as in ["notify-by-mail", "--urgent"]')
    if words and not words[0]:
        raise BadConfig("notify.command: the first word names the program, it cannot be empty")
    return tuple(words)
