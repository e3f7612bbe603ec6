"""Who wrote a mapping: the inference from Jupyter kernels and notebooks beside the mapped folders."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taowatch.core.model import NOBODY, Owner, Project


@dataclass(frozen=True)
class Kernel:
    """A process of this user that may write a mapping: a Jupyter kernel, or something like one."""

    pid: int
    started_at: float
    cwd: str | None
    notebook: str | None
    """The notebook that it was started for, where it says so and the file exists."""
    what: str | None = None
    """`ipython`, the name of a script or of an editor; None for a Jupyter kernel."""
    edits: bool = False
    """It was started with the mounts file as an argument, as an editor is."""


def writer_of(sources: Sequence[str], kernels: Iterable[Kernel], notebooks: Iterable[str]) -> Owner:
    """The likely writer of a mapping with these real `sources` (in the file's order).

    A kernel fits where it works in, above or below a source; the closest to the first sources wins, and of equals a
    kernel before a script, and the latest. Without any, it was an editor that has the file open, or a single notebook
    in a source folder names the project.
    """
    kernels = list(kernels)
    ranked = [(score, kernel) for kernel in kernels if (score := _closeness(kernel, sources)) is not None]
    if ranked:
        _, kernel = min(ranked, key=lambda pair: (pair[0], pair[1].what is not None, -pair[1].started_at))
        if kernel.what is not None:
            return Owner(kernel.cwd, None, kernel.pid, what=kernel.what)
        notebook = kernel.notebook or _only(n for n in notebooks if posixpath.dirname(n) == kernel.cwd)
        return Owner(_directory(kernel), notebook, kernel.pid)
    editor = max((k for k in kernels if k.edits), key=lambda k: k.started_at, default=None)
    if editor is not None:
        return Owner(None, None, editor.pid, what=editor.what)
    for source in sources:
        here = [n for n in notebooks if posixpath.dirname(n) == source]
        if here:
            return Owner(source, _only(here))
    return Owner(sources[0]) if sources else NOBODY


def project_behind(sources: Sequence[str], owner: Owner, projects: Iterable[Project]) -> Project | None:
    """The project that a mapping is of: its first source lies there, and nothing speaks for another project.

    A mapping may name a folder of another project as well, a data set for example: that makes it none of that project.
    """
    known = list(projects)
    inside = [p for p in known if any(is_below(source, p.directory) for source in sources)]
    nearest = [p for p in inside if not any(q != p and is_below(q.directory, p.directory) for q in inside)]
    if len(nearest) != 1 or not sources or not is_below(sources[0], nearest[0].directory):
        return None
    elsewhere = owner.notebook and not is_below(posixpath.dirname(owner.notebook), nearest[0].directory)
    return None if elsewhere else nearest[0]


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it. Both must be real paths."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _directory(kernel: Kernel) -> str | None:
    return posixpath.dirname(kernel.notebook) if kernel.notebook else kernel.cwd


def _closeness(kernel: Kernel, sources: Sequence[str]) -> tuple[int, int] | None:
    directory = _directory(kernel)
    if directory is None:
        return None
    distances = []
    for index, source in enumerate(sources):
        # A script that runs in a home says nothing of all that lies below it.
        above = is_below(source, directory) if kernel.what is None else posixpath.dirname(source) == directory
        if is_below(directory, source) or above:
            distances.append((abs(directory.count("/") - source.count("/")), index))
    return min(distances, default=None)


def _only(notebooks: Iterable[str]) -> str | None:
    found = list(notebooks)
    return found[0] if len(found) == 1 else None
