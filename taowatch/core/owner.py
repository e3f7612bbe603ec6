"""Who wrote a mapping: the inference from Jupyter kernels and notebooks beside the mapped folders."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taowatch.core.model import NOBODY, Owner, Project


@dataclass(frozen=True)
class Kernel:
    """A Jupyter kernel of this user."""

    pid: int
    started_at: float
    cwd: str | None
    notebook: str | None
    """The notebook that it was started for, where it says so and the file exists."""


def writer_of(sources: Sequence[str], kernels: Iterable[Kernel], notebooks: Iterable[str]) -> Owner:
    """The likely writer of a mapping with these real `sources` (in the file's order).

    A kernel fits where it works in, above or below a source; the closest to the first sources wins, and of equals the
    latest. Without a kernel, a single notebook in a source folder names the project.
    """
    ranked = [(score, kernel) for kernel in kernels if (score := _closeness(kernel, sources)) is not None]
    if ranked:
        _, kernel = min(ranked, key=lambda pair: (pair[0], -pair[1].started_at))
        notebook = kernel.notebook or _only(n for n in notebooks if posixpath.dirname(n) == kernel.cwd)
        return Owner(_directory(kernel), notebook, kernel.pid)
    for source in sources:
        here = [n for n in notebooks if posixpath.dirname(n) == source]
        if here:
            return Owner(source, _only(here))
    return Owner(sources[0]) if sources else NOBODY


def project_behind(sources: Sequence[str], owner: Owner, projects: Iterable[Project]) -> Project | None:
    """The project whose notebook wrote a mapping, else the only one in whose directory its sources lie."""
    known = list(projects)
    if owner.notebook:
        around = [p for p in known if is_below(posixpath.dirname(owner.notebook), p.directory)]
        if around:
            return max(around, key=lambda p: len(p.directory))
    inside = [p for p in known if any(is_below(source, p.directory) for source in sources)]
    nearest = [p for p in inside if not any(q != p and is_below(q.directory, p.directory) for q in inside)]
    return nearest[0] if len(nearest) == 1 else None


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
        if is_below(directory, source) or is_below(source, directory):
            distances.append((abs(directory.count("/") - source.count("/")), index))
    return min(distances, default=None)


def _only(notebooks: Iterable[str]) -> str | None:
    found = list(notebooks)
    return found[0] if len(found) == 1 else None
