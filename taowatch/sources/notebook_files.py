"""The notebooks of a directory, and what their set-up cells say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from taowatch.core.cells import MAX_BYTES, BadNotebook
from taowatch.core.notebook import read_notebook
from taowatch.core.resolved import NotebookFacts, Problem
from taowatch.core.values import Host
from taowatch.errors import TaowatchError


def notebooks_of(directory: Path) -> list[Path]:
    """The notebooks that lie directly in a directory, by name."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".ipynb") and entry.is_file()]
    except OSError as error:
        raise TaowatchError(f"{directory}: {error.strerror}") from None
    return [directory / name for name in sorted(names)]


def read_facts(notebook: Path, home: Path, environ: Mapping[str, str] | None = None) -> NotebookFacts:
    """What the set-up cells of a notebook leave behind when it runs in its own directory.

    A notebook that cannot be read has nothing but a problem.
    """
    host = Host(
        home=str(home),
        cwd=str(notebook.parent),
        uid=os.getuid(),
        gid=os.getgid(),
        environ=dict(environ or {}),
        exists=os.path.exists,
        real=os.path.realpath,
    )
    try:
        descriptor = os.open(notebook, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        return read_notebook(str(notebook), content, host)
    except (BadNotebook, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return NotebookFacts(str(notebook), problems=(Problem(f"{notebook.name}: {reason}"),))
