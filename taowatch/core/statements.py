"""The statements of a notebook's cells, followed one by one: what they leave in names and environment."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from taowatch.core import functions
from taowatch.core.expressions import ENVIRON, Expressions, parsed
from taowatch.core.magics import CALL
from taowatch.core.mapping import MOUNTS_FILES
from taowatch.core.resolved import Place, Problem
from taowatch.core.values import (
    Function,
    Raised,
    Symbol,
    Unknown,
    Value,
    unknown_in,
)


class Statements(Expressions):
    """One run through the cells. `place` is where it is, for what has to be said."""

    place = Place(1, 1)

    def __init__(self, *arguments: object, on_set: Callable[[str, Value], Value]) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._on_set = on_set
        self.problems: list[Problem] = []
        self.written: Value = None
        """The text that the mounts file got, or Unknown; None as long as it was not written."""

    def cell(self, number: int, source: str) -> None:
        """Follow one cell; where Python would raise, the rest of it is not followed, and that is a problem."""
        try:
            tree = parsed(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 1
            self.place = Place(number, line)
            self.problem(f"this cell is no valid Python: {getattr(error, 'msg', error)}")
            return
        try:
            for statement in tree.body:
                self.place = Place(number, statement.lineno)
                self.run(statement)
        except Raised as error:
            self.problem(f"this cell fails here: {error}")
        except _Jump:
            pass
        except RecursionError:
            self.problem("this cell is too deep to follow")

    def problem(self, text: str, placeholder: bool = False) -> None:
        """Note what will fail or cannot be known, once."""
        problem = Problem(text, self.place, placeholder)
        if problem not in self.problems:
            self.problems.append(problem)

    def run(self, node: ast.stmt) -> None:
        """Follow one statement. Raises Raised where Python would."""
        self.spend()
        self.place = Place(self.place.cell, node.lineno)
        method = getattr(self, f"_run_{type(node).__name__.lower()}", None)
        if method is None:
            self._taint([node], f"{type(node).__name__} is not followed")
        else:
            method(node)

    def set_variable(self, name: Value, value: Value) -> None:
        """`os.environ[name] = value`."""
        if not isinstance(name, str):
            return
        if unknown_in(value) is None and not isinstance(value, str):
            raise Raised(f"TypeError: str expected, not {type(value).__name__}")
        self.machine.environ[name] = self._on_set(name, value)

    # --- statements

    def _body(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self.run(node)

    def _run_expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def _run_import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                self.names[alias.asname] = Symbol(alias.name)
            else:
                top = alias.name.split(".")[0]
                self.names[top] = Symbol(top)

    def _run_importfrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                self.names[alias.asname or alias.name] = Symbol(f"{node.module}.{alias.name}")

    def _run_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self._assign(target, value)

    def _run_annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(node.target, self.value(node.value))

    def _run_augassign(self, node: ast.AugAssign) -> None:
        before, more = self.value(node.target), self.value(node.value)
        if isinstance(before, list) and isinstance(more, (list, tuple)) and isinstance(node.op, ast.Add):
            before.extend(more)  # in place: other names may lead to the same list
            return
        self._assign(node.target, self.arithmetic(type(node.op), before, more))

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Subscript):
            self._assign_item(target, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target.elts, value)

    def _assign_item(self, target: ast.Subscript, value: Value) -> None:
        owner = self.value(target.value)
        if isinstance(target.slice, ast.Slice):
            self._taint([target], "a slice that is assigned")
            return
        key = self.value(target.slice)
        if isinstance(owner, Symbol) and owner.name == ENVIRON:
            self.set_variable(key, value)
        elif _has_place(owner, key):
            owner[key] = value
        elif isinstance(owner, (dict, list)):
            self._taint([target], "an entry that is not known")

    def _unpack(self, targets: list[ast.expr], value: Value) -> None:
        if isinstance(value, (list, tuple)) and not any(isinstance(target, ast.Starred) for target in targets):
            if len(value) != len(targets):
                raise Raised("ValueError: not as many values as names")
            for target, part in zip(targets, value, strict=True):
                self._assign(target, part)
            return
        missing = value if isinstance(value, Unknown) else Unknown("not followed")
        for target in targets:
            self._assign(target.value if isinstance(target, ast.Starred) else target, missing)

    def _run_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names.pop(target.id, None)
            elif isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
                owner, key = self.value(target.value), self.value(target.slice)
                if isinstance(owner, Symbol) and owner.name == ENVIRON:
                    self.environment(key)
                    self.machine.environ.pop(key, None)
                elif isinstance(owner, dict) and functions.is_scalar(key):
                    owner.pop(key, None)

    def _run_if(self, node: ast.If) -> None:
        known = self.truth(self.value(node.test))
        if isinstance(known, Unknown):
            self._taint([*node.body, *node.orelse], known.reason)
        else:
            self._body(node.body if known else node.orelse)

    def _run_for(self, node: ast.For) -> None:
        values = self.iterated(self.value(node.iter))
        if isinstance(values, Unknown):
            self._taint([node], values.reason)
            return
        for value in values:
            self._assign(node.target, value)
            try:
                self._body(node.body)
            except _Jump as jump:
                if jump.ends_the_loop:
                    return
        self._body(node.orelse)

    def _run_break(self, node: ast.Break) -> None:
        raise _Jump(True)

    def _run_continue(self, node: ast.Continue) -> None:
        raise _Jump(False)

    def _run_with(self, node: ast.With) -> None:
        for item in node.items:
            value = self.value(item.context_expr)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, value)
        self._body(node.body)

    def _run_try(self, node: ast.Try) -> None:
        try:
            self._body(node.body)
            self._body(node.orelse)
        except Raised as error:
            handler = next((h for h in node.handlers if _catches(h, str(error))), None)
            if handler is None:
                raise
            if handler.name:
                self.names[handler.name] = Unknown("an exception")
            self._body(handler.body)
        finally:
            self._body(node.finalbody)

    def _run_functiondef(self, node: ast.FunctionDef) -> None:
        self.names[node.name] = Function(node)

    _run_asyncfunctiondef = _run_functiondef

    def _run_classdef(self, node: ast.ClassDef) -> None:
        self.names[node.name] = Function(node)

    def _run_assert(self, node: ast.Assert) -> None:
        if self.truth(self.value(node.test)) is False:
            raise Raised("AssertionError")

    def _run_raise(self, node: ast.Raise) -> None:
        raise Raised("it raises an exception of its own")

    def _run_pass(self, node: ast.stmt) -> None:
        pass

    _run_global = _run_nonlocal = _run_pass

    def _taint(self, nodes: Sequence[ast.AST], reason: str) -> None:
        """What code that is not followed may have changed is unknown from here on."""
        missing = Unknown(reason)
        for node in (inner for outer in nodes for inner in ast.walk(outer)):
            self.spend()
            for name in _changed_names(node):
                if not isinstance(self.names.get(name), Symbol):
                    self.names[name] = missing
            key = _changed_variable(node)
            if key is not None:
                self.machine.environ[key] = missing
            if isinstance(node, ast.Call) and _may_write_a_file(node):
                self.written = self.written or missing if _names_mounts_file(nodes) else self.written


class _Jump(Exception):
    """`break` or `continue`."""

    def __init__(self, ends_the_loop: bool) -> None:
        super().__init__()
        self.ends_the_loop = ends_the_loop


def _has_place(owner: Value, key: Value) -> bool:
    if isinstance(owner, list):
        return isinstance(key, int) and -len(owner) <= key < len(owner)
    return isinstance(owner, dict) and functions.is_scalar(key)


def _catches(handler: ast.ExceptHandler, error: str) -> bool:
    if handler.type is None:
        return True
    named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {node.id for node in named if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException", error.partition(":")[0]})


def _changed_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        yield node.id
    if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
        yield from _root(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from _root(node.func)


def _root(node: ast.AST) -> Iterator[str]:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _changed_variable(node: ast.AST) -> str | None:
    """The variable that `os.environ["X"] = …` or `%env X=…` names, wherever it stands."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
        key = node.slice
        if isinstance(node.value, ast.Attribute) and node.value.attr == "environ" and isinstance(key, ast.Constant):
            return key.value if isinstance(key.value, str) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == CALL:
        words = [part.value for part in node.args if isinstance(part, ast.Constant)]
        if len(words) > 1 and words[0] in ("env", "set_env") and "=" in str(words[1]):
            return str(words[1]).partition("=")[0].strip()
    return None


def _may_write_a_file(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr in ("dump", "write", "write_text")


def _names_mounts_file(nodes: Sequence[ast.AST]) -> bool:
    return any(
        isinstance(inner, ast.Constant)
        and isinstance(inner.value, str)
        and inner.value.rpartition("/")[2] in MOUNTS_FILES
        for outer in nodes
        for inner in ast.walk(outer)
    )
