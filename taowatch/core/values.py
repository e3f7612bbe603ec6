"""What an expression of a notebook can be for us: a value, something known by name only, or unknown with a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = Any
"""str, int, float, bool, None; list, tuple, dict of those; Symbol, Bound, PathValue, OpenFile, Function or Unknown."""

SCALARS = (str, int, float, bool, type(None))

LARGEST = 200_000
"""Characters or entries of one value. A set-up cell needs a few hundred."""

_PLACEHOLDER = re.compile(r"FIXME|/(raid/)?path/to(/|$)|YOUR_[A-Z_]*|<[A-Za-z _-]+>$|(/[\w/]*)?/your[_-]")
"""The forms in which the public notebooks leave a value to the reader (launcher-facts)."""


@dataclass(frozen=True)
class Unknown:
    """A value that cannot be known without running the code."""

    reason: str
    placeholder: bool = False
    """The author left it to the reader."""


@dataclass(frozen=True)
class Symbol:
    """A module or function that is known by its name, `os.path.join` for example."""

    name: str


@dataclass(frozen=True)
class Bound:
    """A method of a value, `path.append` for example."""

    owner: Value
    name: str


@dataclass(frozen=True)
class PathValue:
    """A `pathlib.Path`."""

    text: str


@dataclass(frozen=True)
class Function:
    """A function or class of the notebook. It is not run; what it could change is unknown once it is called."""

    node: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class OpenFile:
    """A file that the notebook opened: by its name only."""

    path: str
    writable: bool


@dataclass(frozen=True)
class Host:
    """What the code could ask the machine. Given as values, so that reading a notebook asks nothing by itself."""

    home: str
    cwd: str
    uid: int
    gid: int
    environ: Mapping[str, str] = field(default_factory=dict)
    exists: Callable[[str], bool] = lambda path: False
    real: Callable[[str], str] = lambda path: path


class Raised(Exception):
    """Python would raise here; the text is that of its last line."""


def is_placeholder(value: object) -> bool:
    """Whether a value is one that the author left to the reader."""
    return isinstance(value, str) and bool(_PLACEHOLDER.match(value.strip()))


def unknown_in(value: Value) -> Unknown | None:
    """What is unknown in a value, or None. What is no plain data counts as unknown, and so does what is far too large.

    A list may hold another one a thousand times over: what counts is how much it is when it is written out.
    """
    waiting, weight = [value], 0
    while waiting:
        part = waiting.pop()
        if isinstance(part, Unknown):
            return part
        weight += len(part) if isinstance(part, str) else 1
        if weight > LARGEST or len(waiting) > LARGEST:
            return Unknown("a value that is far too large")
        if isinstance(part, (list, tuple)):
            waiting += part
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif not isinstance(part, SCALARS):
            return Unknown("not plain data")
    return None
