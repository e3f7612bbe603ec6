"""One value -> one safe word, for each shell. Nothing but single quotes, in which no shell expands anything."""

from __future__ import annotations


def bash(value: str) -> str:
    """A word that bash reads back as `value`; the same holds for zsh. NUL cannot stand in a shell word."""
    if "\0" in value:
        raise ValueError("a shell word cannot hold NUL")
    return "'" + value.replace("'", "'\\''") + "'"


def fish(value: str) -> str:
    """A word that fish reads back as `value`: within single quotes it knows only \\\\ and \\'."""
    if "\0" in value:
        raise ValueError("a shell word cannot hold NUL")
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
