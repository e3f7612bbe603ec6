"""What the calls and magics of a notebook's cells do to environment and mounts file. Nothing is executed."""

from __future__ import annotations

import ast
import json
import re

from taowatch.core import functions
from taowatch.core.expressions import Exhausted
from taowatch.core.magics import CALL, SHELL
from taowatch.core.mapping import MOUNTS_FILES
from taowatch.core.statements import Statements
from taowatch.core.values import (
    Bound,
    Function,
    OpenFile,
    PathValue,
    Raised,
    Symbol,
    Unknown,
    Value,
    unknown_in,
)

_WRITES = frozenset("wax+")
_SESSION = frozenset(
    ("PATH", "USER", "LOGNAME", "SHELL", "LANG", "PWD", "TERM", "HOSTNAME", "VIRTUAL_ENV", "CONDA_PREFIX")
)


class Evaluator(Statements):
    """One run through the cells, with what their calls leave behind."""

    def _call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Name) and node.func.id == CALL:
            return self._magic(*(str(part.value) for part in node.args if isinstance(part, ast.Constant)))
        function = self.value(node.func)
        arguments = self._elements(node.args)
        options = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg}
        if isinstance(function, Unknown):
            return function
        if isinstance(arguments, Unknown) or any(keyword.arg is None for keyword in node.keywords):
            return Unknown("arguments that are not followed")
        if isinstance(function, Symbol):
            return self._call_symbol(function.name, arguments, options)
        if isinstance(function, Bound):
            return self._call_method(node, function, arguments, options)
        if isinstance(function, Function):
            self._taint([function.node], "a function of the notebook is not run")
        return Unknown("a function of the notebook is not run")

    def _call_symbol(self, name: str, arguments: list[Value], options: dict[str, Value]) -> Value:
        if name in ("open", "io.open"):
            return self._open(arguments, options)
        if name == "json.dump":
            return self._dump(arguments, options)
        if name in ("os.environ.update", "os.environ.setdefault", "os.environ.pop"):
            return self._change_environment(name.rpartition(".")[2], arguments, options)
        if name == "os.environ.copy":
            return Unknown("a copy of the environment")
        if name in ("os.getenv", "os.environ.get"):
            return self._getenv(*arguments, **options)
        return functions.call(self.machine, name, arguments, options)

    def _getenv(self, key: Value = None, default: Value = None) -> Value:
        """Who asks with a default reckons with a variable that is not set; those of every session are set."""
        if not isinstance(key, str):
            return key if isinstance(key, Unknown) else Unknown("the name of a variable that is not known")
        if key not in self.machine.environ and key in _SESSION:
            return Unknown(f"{key} depends on how the notebook is started")
        return self.machine.environ.get(key, default)

    def _call_method(self, node: ast.Call, function: Bound, arguments: list[Value], options: dict[str, Value]) -> Value:
        owner, name = function.owner, function.name
        if isinstance(owner, str):
            return functions.str_method(owner, name, arguments, options)
        if isinstance(owner, OpenFile):
            return self._write(owner, arguments) if name in ("write", "writelines") else Unknown("a file is not read")
        if isinstance(owner, PathValue):
            return self._path_method(owner, name, arguments, options)
        if isinstance(owner, (list, dict)) and name in _CONTAINER_METHODS[type(owner)]:
            return _container_method(owner, name, arguments, options)
        if isinstance(node.func, ast.Attribute):
            self._taint([node.func.value], f".{name}() is not followed")
        return Unknown(f".{name}() is not followed")

    def _path_method(self, path: PathValue, name: str, arguments: list[Value], options: dict[str, Value]) -> Value:
        if name == "open":
            return self._open([path, *arguments], options)
        if name == "write_text":
            return self._write(self._opened(path, "w"), arguments)
        if name == "joinpath":
            return functions.call(self.machine, "pathlib.Path", [path, *arguments], {})
        if name == "mkdir":
            return functions.call(self.machine, "os.makedirs", [path], {})
        known = {"expanduser": "os.path.expanduser", "absolute": "os.path.abspath", "resolve": "os.path.realpath"}
        if name in known:
            found = functions.call(self.machine, known[name], [path], {})
            return PathValue(found) if isinstance(found, str) else found
        if name in ("exists", "is_dir", "is_file"):
            return functions.call(self.machine, "os.path.exists", [path], {})
        return path.text if name in ("as_posix", "__str__", "__fspath__") else Unknown(f".{name}() is not followed")

    def _change_environment(self, how: str, arguments: list[Value], options: dict[str, Value]) -> Value:
        if how == "update":
            given = arguments[0] if arguments else {}
            pairs = given if isinstance(given, dict) else dict(given) if isinstance(given, (list, tuple)) else {}
            for name, value in {**pairs, **options}.items():
                self.set_variable(name, value)
            return None
        name = arguments[0] if arguments else None
        if how == "setdefault" and isinstance(name, str):
            if name not in self.machine.environ:
                self.set_variable(name, arguments[1] if len(arguments) > 1 else None)
            return self.machine.environ[name]
        if not isinstance(name, str) or (name not in self.machine.environ and len(arguments) < 2):
            return self.environment(name)
        return self.machine.environ.pop(name, arguments[1] if len(arguments) > 1 else None)

    # --- files

    def _open(self, arguments: list[Value], options: dict[str, Value]) -> Value:
        if not arguments or isinstance(arguments[0], Unknown):
            return arguments[0] if arguments else Unknown("no file")
        mode = arguments[1] if len(arguments) > 1 else options.get("mode", "r")
        return self._opened(arguments[0], mode if isinstance(mode, str) else "r")

    def _opened(self, path: Value, mode: str) -> Value:
        text = path.text if isinstance(path, PathValue) else path
        return (
            OpenFile(text, bool(_WRITES & set(mode))) if isinstance(text, str) else Unknown("a file that is not known")
        )

    def _dump(self, arguments: list[Value], options: dict[str, Value]) -> Value:
        file = arguments[1] if len(arguments) > 1 else options.get("fp")
        value = arguments[0] if arguments else options.get("obj")
        text = unknown_in(value) or functions.call(self.machine, "json.dumps", [value], {})
        return self._write(file, [text])

    def _write(self, file: Value, arguments: list[Value]) -> Value:
        if not isinstance(file, OpenFile) or not file.writable or not arguments:
            return None
        if file.path.rpartition("/")[2] in MOUNTS_FILES:
            before = self.written if isinstance(self.written, str) else ""
            text = arguments[0]
            self.written = before + text if isinstance(text, str) else unknown_in(text) or Unknown("not a text")
        return None

    # --- magics

    def _magic(self, name: str = "", arguments: str = "", body: str = "") -> Value:
        if name in ("env", "set_env"):
            self._env_magic(name, arguments)
            return None
        if name == "cd":
            path = self.expand(arguments.strip().strip("\"'"))
            if isinstance(path, str):
                place = functions.call(self.machine, "os.path.expanduser", [path or "~"], {})
                if self.machine.exists(str(place)):
                    functions.call(self.machine, "os.chdir", [place], {})
            return None
        if name in ("%%writefile", "%%file") and arguments.rpartition("/")[2].strip() in MOUNTS_FILES:
            self.written = body
        return Unknown("what a shell command prints" if name == SHELL else f"%{name} is not run")

    def _env_magic(self, name: str, arguments: str) -> None:
        """IPython's own rules: the first `=` separates, else the first space; white space around both goes."""
        text = self.expand(arguments)
        if isinstance(text, Unknown):
            known, _, _ = arguments.partition("=" if "=" in arguments else " ")
            self.set_variable(known.strip(), text)
            return
        key, found, value = text.strip().partition("=" if "=" in text else " ")
        if not found and name == "env":
            return  # it only shows
        if not found or re.search(r"\s", key.strip()):
            raise Raised("UsageError: %env takes NAME=value")
        self.set_variable(key.strip(), value.strip())


_CONTAINER_METHODS = {
    list: frozenset({"append", "extend", "insert", "copy"}),
    dict: frozenset({"get", "update", "setdefault", "items", "keys", "values", "copy", "pop"}),
}


def _container_method(owner: Value, name: str, arguments: list[Value], options: dict[str, Value]) -> Value:
    if any(isinstance(value, Unknown) for value in arguments[:1]) and name not in ("append", "extend"):
        return arguments[0]
    try:
        found = getattr(owner, name)(*arguments, **options)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise Raised(f"{type(error).__name__}: {error}") from None
    return list(found) if name in ("items", "keys", "values") else found


def document_of(text: str) -> dict[str, Value] | None:
    """The JSON object in a text, or None."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


__all__ = ["Evaluator", "Exhausted", "document_of"]
