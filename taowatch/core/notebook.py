"""A notebook's file -> what its set-up cells leave behind. Read, never executed."""

from __future__ import annotations

from taowatch.core.cells import code_cells
from taowatch.core.evaluate import Evaluator, Exhausted, document_of
from taowatch.core.functions import Machine
from taowatch.core.layout import LAYOUTS
from taowatch.core.magics import Plain, TooDeep, plain
from taowatch.core.resolved import NotebookFacts, Place, Problem, ShellCommand
from taowatch.core.settings import TAO_NAMES
from taowatch.core.values import Host, Unknown, Value, is_placeholder

PROJECT_DIR = "LOCAL_PROJECT_DIR"
_OURS = TAO_NAMES | {"KEY"}
_HOST_NAMES = frozenset(rule.name for layout in LAYOUTS.values() for rule in layout.rules if rule.side == "host")


def read_notebook(path: str, content: bytes, host: Host) -> NotebookFacts:
    """The variables as they stand when the mapping cell has run, and the mapping.

    A placeholder in LOCAL_PROJECT_DIR is filled by the article's rule: the directory of the notebook. Raises
    BadNotebook.
    """
    reader = _Reader(path, host)
    for cell in code_cells(content):
        reader.read(cell.number, cell.source)
    return reader.facts()


class _Reader:
    """One notebook, cell after cell."""

    def __init__(self, path: str, host: Host) -> None:
        self._path = path
        self._host = host
        environ: dict[str, Value] = {"HOME": host.home, **host.environ}
        # What a notebook finds beside that depends on who starts it; the variables of TAO it has to set itself.
        self._evaluator = Evaluator(
            Machine(host, environ), {}, lambda name: name not in _OURS and name not in environ, on_set=self._set
        )
        self._placeholders: set[str] = set()
        self._shell: list[ShellCommand] = []
        self._done = False

    def read(self, number: int, source: str) -> None:
        """Follow a cell, as long as the mapping was not written; of every cell the shell lines are taken."""
        try:
            found = plain(source)
        except TooDeep as error:
            if not self._done:
                self._evaluator.place = Place(number, 1)
                self._evaluator.problem(str(error))
            return
        self._shell += [ShellCommand(Place(number, line.line), line.text) for line in found.shell]
        if not self._done:
            self._follow(number, found)

    def facts(self) -> NotebookFacts:
        evaluator = self._evaluator
        written = evaluator.written
        mapping = document_of(written) if isinstance(written, str) else None
        if isinstance(written, Unknown):
            evaluator.problem(f"the mapping that is written here cannot be known: {written.reason}")
        problems = (*self._unknown(), *evaluator.problems)
        return NotebookFacts(
            self._path, self._variables(), mapping, problems, tuple(self._shell), writes_mapping=written is not None
        )

    def _follow(self, number: int, found: Plain) -> None:
        try:
            self._evaluator.cell(number, found.python)
        except Exhausted as error:
            self._evaluator.problem(str(error))
            self._done = True
        self._done = self._done or self._evaluator.written is not None

    def _set(self, name: str, value: Value) -> Value:
        placeholder = is_placeholder(value) or (isinstance(value, Unknown) and value.placeholder)
        if not placeholder or name not in _OURS:
            self._placeholders.discard(name)
            return value
        if name == PROJECT_DIR:
            said = "taken for it: the directory of the notebook"
        else:
            self._placeholders.add(name)
            said = "write your own value there"
        shown = value if isinstance(value, str) and name != "KEY" else "a placeholder"
        self._evaluator.problem(f"{name} is still {shown}; {said}", placeholder=True)
        return self._host.cwd if name == PROJECT_DIR else value

    def _variables(self) -> dict[str, str]:
        known = self._evaluator.machine.environ
        left_open = {name for name in self._placeholders if name in _HOST_NAMES or name not in TAO_NAMES}
        return {
            name: value
            for name, value in known.items()
            if isinstance(value, str) and name not in left_open and name not in ("HOME", *self._host.environ)
        }

    def _unknown(self) -> list[Problem]:
        known = self._evaluator.machine.environ
        return [
            Problem(f"{name} cannot be known without running the notebook: {value.reason}")
            for name, value in known.items()
            if name in _OURS and isinstance(value, Unknown) and not value.placeholder
        ]
