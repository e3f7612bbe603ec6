"""IPython's own syntax in a cell -> plain Python that `ast` can parse, line for line.

What counts as a magic is what IPython's `inputtransformer2` takes for one: an escape at the start of a logical line
(never in a string or a bracket), or right behind an assignment. Each becomes a call that only the evaluator knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CALL = "__taowatch_magic__"
SHELL = "!"

_RUNS_ITS_BODY = ("capture", "time", "timeit", "prun")
_MAX_DEPTH = 60
"""Brackets within brackets. Python's parser needs exponential time for some texts with more."""

_ASSIGNED = re.compile(r"(\s*[A-Za-z_][\w.\[\]\"', ]*=\s*)(%(?=[A-Za-z_])|!)(.*)", re.DOTALL)
_HELP = re.compile(r"\s*%{0,2}[A-Za-z_*][\w.*\[\]]*\?{1,2}\s*$|\s*\?")
_AUTOMAGIC = re.compile(r"(env|set_env|cd)[ \t]+(?![=(.,\[+\-*/%&|^<>!]|(?:in|is|if|and|or|not)\b)")
_OPENING, _CLOSING = "([{", ")]}"
_MARK = re.compile(r"""\"{3}|'{3}|["'#()\[\]{}]|\\.""")


class TooDeep(ValueError):
    """More brackets within brackets than any set-up cell has."""


@dataclass(frozen=True)
class ShellLine:
    """A `!command` of a cell; `line` counts from 1."""

    line: int
    text: str


@dataclass(frozen=True)
class Plain:
    """A cell as plain Python with the same line numbers, and the shell lines that stood in it."""

    python: str
    shell: tuple[ShellLine, ...] = ()


def plain(source: str) -> Plain:
    """The cell without IPython's syntax. Raises TooDeep."""
    lines = _dedented(source).splitlines(keepends=True)
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return Plain("")
    if lines[first].startswith("%%"):
        return _cell_magic(lines, first)
    if _AUTOMAGIC.match(lines[first]):
        lines[first] = "%" + lines[first]  # IPython's automagic, which looks at the first line only
    return _line_by_line(lines)


def _dedented(source: str) -> str:
    if source.lstrip("\r\n")[:1] not in (" ", "\t"):
        return source
    import textwrap

    return textwrap.dedent(source)


def _cell_magic(lines: list[str], first: int) -> Plain:
    name, _, arguments = lines[first][2:].strip().partition(" ")
    body = lines[first + 1 :]
    if name in _RUNS_ITS_BODY:
        return _line_by_line(["\n"] * (first + 1) + body)
    if name in ("bash", "sh", "script", "system", "!"):
        return Plain("", tuple(ShellLine(first + 2 + i, line.strip()) for i, line in enumerate(body) if line.strip()))
    text = "".join(body)
    return Plain("\n" * first + f"{CALL}({'%%' + name!r}, {arguments.strip()!r}, {text!r})\n")


def _line_by_line(lines: list[str]) -> Plain:
    out: list[str] = []
    shell: list[ShellLine] = []
    state = _Scanner()
    while len(out) < len(lines):
        index = len(out)
        line = lines[index]
        special = _special(lines, index) if state.at_start else None
        if special is None:
            out.append(line)
            state.read(line)
            continue
        python, command, used = special
        out += [python + "\n", *["\n"] * (used - 1)]
        if command is not None:
            shell.append(ShellLine(index + 1, command))
    return Plain("".join(out), tuple(shell))


def _special(lines: list[str], index: int) -> tuple[str, str | None, int] | None:
    """(Python for it, the shell command if it is one, how many lines it takes), or None for plain Python."""
    line = lines[index]
    body = line.lstrip(" \t\f")
    indent = line[: len(line) - len(body)]
    if _HELP.match(line):
        return indent + "pass", None, 1
    if body[:1] in ("%", "!"):
        text, used = _continued(lines, index, len(indent))
        return indent + _call(text[0], text[1:]), text.lstrip("!").strip() if text[0] == "!" else None, used
    if body[:1] in (",", ";", "/"):
        return indent + "pass", None, 1
    found = _ASSIGNED.match(line)
    if found:
        text, used = _continued(lines, index, found.start(2))
        return found[1] + _call(text[0], text[1:]), text[1:].strip() if text[0] == "!" else None, used
    return None


def _call(escape: str, content: str) -> str:
    if escape == SHELL:
        return f"{CALL}({SHELL!r}, {content.lstrip('!')!r})"
    name, _, arguments = content.partition(" ")
    return f"{CALL}({name!r}, {arguments!r})"


def _continued(lines: list[str], index: int, column: int) -> tuple[str, int]:
    """A magic with the lines that a backslash adds to it, put together as IPython does."""
    end = index
    while lines[end].endswith("\\\n") and end + 1 < len(lines):
        end += 1
    parts = [lines[index][column:], *lines[index + 1 : end + 1]]
    return " ".join([part.rstrip()[:-1] for part in parts[:-1]] + [parts[-1].rstrip()]), end - index + 1


class _Scanner:
    """Whether the next line starts a logical line of Python."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0
        self._backslash = False

    @property
    def at_start(self) -> bool:
        return not self._quote and self._depth == 0 and not self._backslash

    def read(self, line: str) -> None:
        for found in _MARK.finditer(line):
            mark = found[0]
            if self._quote:
                # In a string of single quotes, three in a row are its end and an empty string.
                if mark.startswith(self._quote):
                    self._quote = ""
            elif mark == "#":
                break
            elif mark[0] in "\"'":
                self._quote = mark
            elif mark in _OPENING:
                self._deeper()
            elif mark in _CLOSING:
                self._depth = max(0, self._depth - 1)
        self._backslash = line.endswith("\\\n")
        if len(self._quote) == 1 and not self._backslash:
            self._quote = ""  # a string that was not closed: Python refuses it, so nothing hangs on it

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TooDeep(f"more than {_MAX_DEPTH} brackets within brackets")
