"""Expressions of a notebook's cells -> values, for the safe subset that set-up cells use. Nothing is executed."""

from __future__ import annotations

import ast
import builtins
import operator
import re
import string
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taowatch.core import functions
from taowatch.core.functions import Machine
from taowatch.core.values import (
    LARGEST,
    Bound,
    Function,
    OpenFile,
    PathValue,
    Raised,
    Symbol,
    Unknown,
    Value,
    is_placeholder,
    unknown_in,
)

ENVIRON = "os.environ"

_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.BitOr: operator.or_,
    ast.Mult: operator.mul,
    ast.Mod: operator.mod,
}
_CONSTANTS: Mapping[str, Value] = {
    "os.sep": "/",
    "os.path.sep": "/",
    "os.pathsep": ":",
    "os.linesep": "\n",
    "os.curdir": ".",
    "os.name": "posix",
}
_BUILTIN_NAMES = frozenset(dir(builtins)) | {"get_ipython", "In", "Out", "exit", "quit"}
_DOLLAR = re.compile(r"(.*?)\$(\$?[\w.]+)", re.DOTALL)
"""IPython's own pattern."""

MAX_STEPS = 50_000
"""Expressions and statements that are looked at in one notebook."""

_ERRORS = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError)


def parsed(source: str, mode: str = "exec") -> Any:
    """The tree of a piece of Python. What its author would be warned of ("\\d" in a string) is not for our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)


class Exhausted(Exception):
    """The notebook is not one whose set-up can be followed."""


class Expressions:
    """Evaluates expressions over the names of the notebook and the environment that it made."""

    def __init__(self, machine: Machine, names: dict[str, Value], inherited: Callable[[str], bool]) -> None:
        self.machine = machine
        self.names = names
        self._is_inherited = inherited
        """Whether a variable may be set by who starts the notebook."""
        self.steps = 0

    def value(self, node: ast.expr) -> Value:
        """The value of an expression. Raises Raised where Python would, and Exhausted for one without an end."""
        self.spend()
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        return method(node) if method is not None else Unknown(f"{type(node).__name__} is not followed")

    def spend(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise Exhausted("too much to follow")

    def expand(self, text: str) -> Value:
        """What IPython makes of `{expression}` and `$name` in a magic's arguments (DollarFormatter)."""
        try:
            parts = list(_fields(text))
            return self._expanded(parts)
        except (Raised, ValueError, SyntaxError, RecursionError):
            return text  # IPython lets through as it is whatever it cannot expand

    def _expanded(self, parts: list[tuple[str, str | None, str, str | None]]) -> Value:
        out = []
        for literal, field, spec, conversion in parts:
            out.append(literal)
            if field is None:
                continue
            value = self.value(parsed(field.strip(), "eval").body)
            value = functions.formatted(value, conversion, spec)
            if isinstance(value, Unknown):
                return value
            out.append(value)
        return "".join(out)

    def _constant(self, node: ast.Constant) -> Value:
        return node.value if functions.is_scalar(node.value) else Unknown("not plain data")

    def _name(self, node: ast.Name) -> Value:
        if node.id in self.names:
            return self.names[node.id]
        if node.id in functions.BUILTINS:
            return Symbol(node.id)
        if is_placeholder(node.id):
            return Unknown(f"{node.id} is a placeholder", placeholder=True)
        if node.id in _BUILTIN_NAMES:
            return Unknown(f"{node.id} is not followed")
        raise Raised(f"NameError: name '{node.id}' is not defined")

    def _attribute(self, node: ast.Attribute) -> Value:
        return self.attribute(self.value(node.value), node.attr)

    def attribute(self, owner: Value, name: str) -> Value:
        """`owner.name`."""
        if isinstance(owner, Symbol):
            full = f"{owner.name}.{name}"
            return _CONSTANTS.get(full, Symbol(full))
        if isinstance(owner, PathValue):
            return _path_attribute(owner, name)
        return owner if isinstance(owner, Unknown) else Bound(owner, name)

    def _subscript(self, node: ast.Subscript) -> Value:
        owner = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            return self._sliced(owner, node.slice)
        key = self.value(node.slice)
        if isinstance(owner, Symbol) and owner.name == ENVIRON:
            return self.environment(key)
        if isinstance(owner, Unknown) or isinstance(key, Unknown):
            return owner if isinstance(owner, Unknown) else key
        try:
            return owner[key] if isinstance(owner, (str, list, tuple, dict)) else Unknown("not followed")
        except _ERRORS as error:
            raise Raised(f"{type(error).__name__}: {error}") from None

    def environment(self, key: Value) -> Value:
        """`os.environ[key]`."""
        if not isinstance(key, str):
            return Unknown("the name of a variable that is not known")
        if key in self.machine.environ:
            return self.machine.environ[key]
        if self._is_inherited(key):
            return Unknown(f"{key} depends on how the notebook is started")
        raise Raised(f"KeyError: {key!r}")

    def _sliced(self, owner: Value, node: ast.Slice) -> Value:
        bounds = [self.value(part) if part else None for part in (node.lower, node.upper, node.step)]
        plain = all(bound is None or isinstance(bound, int) for bound in bounds)
        if not plain or not isinstance(owner, (str, list, tuple)) or bounds[2] == 0:
            return Unknown("a slice that is not followed")
        return owner[slice(*bounds)]

    def _joinedstr(self, node: ast.JoinedStr) -> Value:
        parts = [self.value(part) for part in node.values]
        missing = next((part for part in parts if isinstance(part, Unknown)), None)
        return missing or ("".join(parts) if sum(map(len, parts)) <= LARGEST else Unknown("far too large"))

    def _formattedvalue(self, node: ast.FormattedValue) -> Value:
        spec = self.value(node.format_spec) if node.format_spec else ""
        if isinstance(spec, Unknown):
            return spec
        conversion = chr(node.conversion) if node.conversion >= 0 else None
        return functions.formatted(self.value(node.value), conversion, spec)

    def _binop(self, node: ast.BinOp) -> Value:
        return self.arithmetic(type(node.op), self.value(node.left), self.value(node.right))

    def arithmetic(self, kind: type, left: Value, right: Value) -> Value:
        """`left <operator> right`."""
        if isinstance(left, PathValue) and kind is ast.Div and isinstance(right, (str, PathValue)):
            return functions.call(self.machine, "pathlib.Path", (left, right), {})
        if kind is ast.Mod and isinstance(left, str):
            return functions.percent(left, right)
        missing = next((v for v in (left, right) if isinstance(v, Unknown)), None)
        if missing is not None or kind not in _ARITHMETIC or _explodes(kind, left, right):
            return missing or Unknown("arithmetic that is not followed")
        if not all(isinstance(v, (str, int, float, list, tuple, dict)) or v is None for v in (left, right)):
            return Unknown("arithmetic that is not followed")
        try:
            return _ARITHMETIC[kind](left, right)
        except _ERRORS as error:
            raise Raised(f"{type(error).__name__}: {error}") from None

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            known = self.truth(value)
            return known if isinstance(known, Unknown) else not known
        if isinstance(node.op, ast.USub) and isinstance(value, (int, float)):
            return -value
        return value if isinstance(value, Unknown) else Unknown("not followed")

    def _boolop(self, node: ast.BoolOp) -> Value:
        wanted = isinstance(node.op, ast.Or)
        value: Value = None
        for part in node.values:
            value = self.value(part)
            known = self.truth(value)
            if isinstance(known, Unknown) or known == wanted:
                return value
        return value

    def truth(self, value: Value) -> bool | Unknown:
        """Whether a value counts as true."""
        if isinstance(value, Unknown):
            return value
        return True if isinstance(value, (Symbol, Bound, Function, OpenFile, PathValue)) else bool(value)

    def _compare(self, node: ast.Compare) -> Value:
        left = self.value(node.left)
        for kind, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            result = self._compared(type(kind), left, right)
            if isinstance(result, Unknown) or not result:
                return result
            left = right
        return True

    def _compared(self, kind: type, left: Value, right: Value) -> Value:
        if isinstance(right, Symbol) and right.name == ENVIRON and isinstance(left, str):
            there: Value = left in self.machine.environ
            if not there and self._is_inherited(left):
                return Unknown(f"{left} depends on how the notebook is started")
            return there if kind is ast.In else not there
        if unknown_in(left) or unknown_in(right):
            return unknown_in(left) or unknown_in(right)
        try:
            return bool(_COMPARISONS[kind](left, right))
        except _ERRORS as error:
            raise Raised(f"{type(error).__name__}: {error}") from None

    def _ifexp(self, node: ast.IfExp) -> Value:
        known = self.truth(self.value(node.test))
        if isinstance(known, Unknown):
            return known
        return self.value(node.body if known else node.orelse)

    def _list(self, node: ast.List) -> Value:
        return self._elements(node.elts)

    def _tuple(self, node: ast.Tuple) -> Value:
        found = self._elements(node.elts)
        return found if isinstance(found, Unknown) else tuple(found)

    def _elements(self, nodes: list[ast.expr]) -> Value:
        out: list[Value] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                more = self.value(node.value)
                if not isinstance(more, (list, tuple)):
                    return more if isinstance(more, Unknown) else Unknown("not followed")
                out += more
            else:
                out.append(self.value(node))
        return out

    def _dict(self, node: ast.Dict) -> Value:
        out: dict[Value, Value] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.value(value_node)
            if key_node is None:
                if not isinstance(value, dict):
                    return value if isinstance(value, Unknown) else Unknown("not followed")
                out.update(value)
                continue
            key = self.value(key_node)
            if not functions.is_scalar(key):
                return key if isinstance(key, Unknown) else Unknown("a key that is not followed")
            out[key] = value
        return out

    def _listcomp(self, node: ast.ListComp) -> Value:
        return self._comprehended(node.generators, lambda: self.value(node.elt))

    def _generatorexp(self, node: ast.GeneratorExp) -> Value:
        return self._comprehended(node.generators, lambda: self.value(node.elt))

    def _dictcomp(self, node: ast.DictComp) -> Value:
        pairs = self._comprehended(node.generators, lambda: (self.value(node.key), self.value(node.value)))
        if isinstance(pairs, Unknown):
            return pairs
        missing = next((key for key, _ in pairs if not functions.is_scalar(key)), None)
        return Unknown("a key that is not known") if missing is not None else dict(pairs)

    def _comprehended(self, generators: list[ast.comprehension], element: Callable[[], Value]) -> Value:
        if len(generators) != 1 or not isinstance(generators[0].target, ast.Name):
            return Unknown("a comprehension that is not followed")
        generator, name = generators[0], generators[0].target.id
        values = self.iterated(self.value(generator.iter))
        if isinstance(values, Unknown):
            return values
        hidden, out = self.names.get(name), []
        had = name in self.names
        try:
            for value in values:
                self.spend()
                self.names[name] = value
                tests = [self.truth(self.value(test)) for test in generator.ifs]
                missing = next((test for test in tests if isinstance(test, Unknown)), None)
                if missing is not None:
                    return missing
                if all(tests):
                    out.append(element())
        finally:
            self.names.pop(name, None)
            if had:
                self.names[name] = hidden
        return out

    def iterated(self, value: Value) -> list[Value] | Unknown:
        """The values that a loop over `value` goes through."""
        if isinstance(value, (list, tuple, dict, str)):
            return list(value)
        return value if isinstance(value, Unknown) else Unknown("a loop that is not followed")

    def _call(self, node: ast.Call) -> Value:
        return Unknown("a call that is not followed")  # the statements know what calls do


def _explodes(kind: type, left: Value, right: Value) -> bool:
    if kind is ast.Mult:
        return _size(left) * _size(right) > LARGEST
    return kind is ast.Add and isinstance(left, (str, list, tuple)) and _size(left) + _size(right) > LARGEST


def _size(value: Value) -> float:
    if isinstance(value, (str, list, tuple)):
        return len(value)
    return abs(value) if isinstance(value, (int, float)) else 0


def _fields(text: str) -> Iterator[tuple[str, str | None, str, str | None]]:
    """(literal, field, format, conversion) as IPython's DollarFormatter splits a line."""
    for literal, field, spec, conversion in string.Formatter().parse(text):
        rest = literal
        pending = ""
        while found := _DOLLAR.match(rest):
            rest = rest[found.end() :]
            if found[2].startswith("$"):
                pending += found[1] + found[2]
            else:
                yield pending + found[1], found[2], "", None
                pending = ""
        yield pending + rest, field, spec or "", conversion


def _path_attribute(path: PathValue, name: str) -> Value:
    head, _, tail = path.text.rstrip("/").rpartition("/")
    if name == "name":
        return tail
    if name == "parent":
        return PathValue(head or ("/" if path.text.startswith("/") else "."))
    return Bound(path, name)
