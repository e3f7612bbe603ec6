"""The functions that set-up cells call, as far as they only compute: name -> what it gives. No other is ever called."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taowatch.core.values import LARGEST, SCALARS, Host, PathValue, Raised, Unknown, Value, unknown_in

Arguments = Sequence[Value]
Options = Mapping[str, Value]

_MANY_DIGITS = re.compile(r"\d{5,}")
"""In a format: a width or precision that no notebook has."""

_CONVERSIONS: Mapping[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}

STR_METHODS = frozenset(
    (
        "strip",
        "lstrip",
        "rstrip",
        "upper",
        "lower",
        "title",
        "capitalize",
        "split",
        "rsplit",
        "splitlines",
        "startswith",
    )
    + ("endswith", "replace", "join", "format", "partition", "rpartition", "count", "find", "isdigit", "removeprefix")
    + ("removesuffix",)
)


class Machine:
    """What the functions may ask: the host as it was given, and where the notebook has moved to."""

    def __init__(self, host: Host, environ: dict[str, Value]) -> None:
        self.host = host
        self.environ = environ
        self.cwd: Value = host.cwd
        self.made: set[str] = set()
        """Directories that the notebook would have made."""

    def absolute(self, path: str) -> str:
        if not isinstance(self.cwd, str):
            raise NotKnown("the working directory was changed in a way that cannot be followed")
        return posixpath.normpath(posixpath.join(self.cwd, path))

    def expanded(self, path: str) -> str:
        if path != "~" and not path.startswith("~/"):
            if path.startswith("~"):
                raise NotKnown("the home of another user")
            return path
        home = self.environ.get("HOME", self.host.home)
        if not isinstance(home, str):
            raise NotKnown("HOME was changed")
        return (home.rstrip("/") or "/") + path[1:] if path != "~" else home

    def exists(self, path: str) -> bool:
        place = self.absolute(path)
        return place in self.made or self.host.exists(place)


class NotKnown(Exception):
    """The result depends on what cannot be known; the text says on what."""


def call(machine: Machine, name: str, arguments: Arguments, options: Options) -> Value:
    """What a known function gives; Unknown for every other. Raises Raised where Python would."""
    function = _FUNCTIONS.get(name)
    if function is None:
        return Unknown(f"{name}() is not run")
    missing = next((u for value in (*arguments, *options.values()) if (u := _opaque(value))), None)
    if missing is not None:
        return missing
    try:
        return _bounded(function(machine, *arguments, **options))
    except NotKnown as error:
        return Unknown(str(error))
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, ArithmeticError) as error:
        raise Raised(f"{type(error).__name__}: {error}") from None


def str_method(text: str, name: str, arguments: Arguments, options: Options) -> Value:
    """What a method of a string gives. Raises Raised where Python would."""
    if name not in STR_METHODS:
        return Unknown(f"str.{name}() is not run")
    missing = next((u for value in (*arguments, *options.values()) if (u := unknown_in(value))), None)
    if missing is not None:
        return missing
    if (name == "format" and not _is_plain_format(text)) or _grows(text, name, arguments):
        return Unknown("a format that is not followed")
    try:
        return _bounded(getattr(text, name)(*arguments, **options))
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise Raised(f"{type(error).__name__}: {error}") from None


def formatted(value: Value, conversion: str | None, spec: str) -> Value:
    """`f"{value!conversion:spec}"`. Raises Raised where Python would."""
    if isinstance(value, PathValue):
        value = value.text
    missing = unknown_in(value)
    if missing is not None or _MANY_DIGITS.search(spec):
        return missing or Unknown("a format that is not followed")
    try:
        converted = _CONVERSIONS[conversion](value) if conversion else value
        return _bounded(format(converted, spec))
    except (TypeError, ValueError) as error:
        raise Raised(f"{type(error).__name__}: {error}") from None


def percent(text: str, value: Value) -> Value:
    """`text % value`. Raises Raised where Python would."""
    missing = unknown_in(value)
    if missing is not None or _MANY_DIGITS.search(text) or "*" in text:
        return missing or Unknown("a format that is not followed")
    try:
        return _bounded(text % value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise Raised(f"{type(error).__name__}: {error}") from None


def _opaque(value: Value) -> Unknown | None:
    return None if isinstance(value, PathValue) else unknown_in(value)


def _bounded(value: Value) -> Value:
    too_large = isinstance(value, (str, list, tuple, dict)) and len(value) > LARGEST
    return Unknown("a value that is far too large") if too_large else value


def _is_plain_format(text: str) -> bool:
    # {0.__class__} and {0[x]} reach into objects; a width of a billion costs a gigabyte.
    fields = re.findall(r"{([^{}]*)}", text.replace("{{", "").replace("}}", ""))
    return not any(re.search(r"[.\[]", field.split(":")[0]) for field in fields) and not _MANY_DIGITS.search(text)


def _grows(text: str, name: str, arguments: Arguments) -> bool:
    if name == "replace" and len(arguments) >= 2 and isinstance(arguments[1], str):
        return (len(text) + 1) * (len(arguments[1]) + 1) > LARGEST
    if name == "join" and arguments and isinstance(arguments[0], (list, tuple)):
        parts = arguments[0]
        return sum(len(part) for part in parts if isinstance(part, str)) + len(text) * len(parts) > LARGEST
    return False


def _text(value: Value) -> str:
    if isinstance(value, PathValue):
        return value.text
    if not isinstance(value, str):
        raise TypeError(f"expected str, bytes or os.PathLike object, not {type(value).__name__}")
    return value


def _path(function: Callable[..., Any]) -> Callable[..., Value]:
    return lambda machine, *paths: function(*(_text(path) for path in paths))


def _expandvars(machine: Machine, path: str) -> Value:
    def value(found: re.Match[str]) -> str:
        known = machine.environ.get(found[1] or found[2], found[0])
        if not isinstance(known, str):
            raise NotKnown("a variable that is not known")
        return known

    return re.sub(r"\$(?:(\w+)|{([^}]*)})", value, _text(path))


def _makedirs(machine: Machine, path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
    place = machine.absolute(_text(path))
    while place not in machine.made and place != "/":
        machine.made.add(place)
        place = posixpath.dirname(place)


def _chdir(machine: Machine, path: str) -> None:
    place = machine.absolute(_text(path))
    if not machine.exists(place):
        raise ValueError(f"No such file or directory: {path!r}")
    machine.cwd = place


def _getcwd(machine: Machine) -> Value:
    return machine.cwd


def _dumps(machine: Machine, value: Value, **options: Value) -> str:
    return json.dumps(value, **{k: v for k, v in options.items() if k in ("indent", "sort_keys", "ensure_ascii")})


def _range(machine: Machine, *bounds: int) -> list[int]:
    found = range(*bounds)
    if len(found) > 10_000:
        raise NotKnown("a long loop")
    return list(found)


def _int(machine: Machine, value: Value = 0) -> int:
    if isinstance(value, str) and len(value) > 1000:
        raise NotKnown("a long number")
    return int(value)


def _path_value(machine: Machine, *parts: Value) -> PathValue:
    return PathValue(posixpath.join(*(_text(part) for part in parts)) if parts else ".")


def _str(machine: Machine, value: Value = "") -> str:
    return value.text if isinstance(value, PathValue) else str(value)


def _plain(function: Callable[..., Any]) -> Callable[..., Value]:
    return lambda machine, *arguments: function(*arguments)


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "os.getcwd": _getcwd,
    "os.getcwdb": lambda machine: Unknown("bytes"),
    "os.chdir": _chdir,
    "os.getuid": lambda machine: machine.host.uid,
    "os.geteuid": lambda machine: machine.host.uid,
    "os.getgid": lambda machine: machine.host.gid,
    "os.getegid": lambda machine: machine.host.gid,
    "os.makedirs": _makedirs,
    "os.mkdir": _makedirs,
    "os.path.join": _path(posixpath.join),
    "os.path.dirname": _path(posixpath.dirname),
    "os.path.basename": _path(posixpath.basename),
    "os.path.normpath": _path(posixpath.normpath),
    "os.path.isabs": _path(posixpath.isabs),
    "os.path.split": _path(posixpath.split),
    "os.path.splitext": _path(posixpath.splitext),
    "os.path.abspath": lambda machine, path: machine.absolute(_text(path)),
    "os.path.expanduser": lambda machine, path: machine.expanded(_text(path)),
    "os.path.expandvars": _expandvars,
    "os.path.realpath": lambda machine, path: machine.host.real(machine.absolute(_text(path))),
    "os.path.exists": lambda machine, path: machine.exists(_text(path)),
    "os.path.isdir": lambda machine, path: machine.exists(_text(path)),
    "os.path.isfile": lambda machine, path: machine.host.exists(machine.absolute(_text(path))),
    "json.dumps": _dumps,
    "pathlib.Path": _path_value,
    "pathlib.PosixPath": _path_value,
    "pathlib.Path.home": lambda machine: PathValue(machine.expanded("~")),
    "pathlib.Path.cwd": lambda machine: PathValue(machine.absolute(".")),
    "str": _str,
    "int": _int,
    "float": _plain(float),
    "bool": _plain(bool),
    "len": _plain(len),
    "list": _plain(list),
    "tuple": _plain(tuple),
    "sorted": _plain(sorted),
    "min": _plain(min),
    "max": _plain(max),
    "range": _range,
    "dict": lambda machine, *pairs, **entries: dict(*pairs, **entries),
    "print": lambda machine, *values, **options: None,
    "display": lambda machine, *values, **options: None,
}

BUILTINS = frozenset(name for name in _FUNCTIONS if "." not in name) | {"open"}


def is_scalar(value: Value) -> bool:
    return isinstance(value, SCALARS)
