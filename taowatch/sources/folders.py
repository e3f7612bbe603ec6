"""The folders that jobs hold and files map -> FoldersChanged, when one is deleted, moved, replaced or back."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator

from taowatch.core.events import Event, FoldersChanged
from taowatch.sources.directories import Directories
from taowatch.sources.reading import nearest_existing

log = logging.getLogger(__name__)

Inode = tuple[int, int]


class FoldersSource:
    """Watches folders and what is above them for their own end only: what a training writes into them is no event."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._directories = Directories(self._hint, self._deleted)
        self._ended: set[str] = set()
        """Folders that were deleted. A new one in their place may have the same inode number."""
        self._lost: set[tuple[str, str]] = set()
        self._loop = asyncio.get_running_loop()
        self._hinted = False
        self._paths: set[str] = set()
        self._held: dict[tuple[str, str], Inode | None] = {}
        """By job and folder: what the folder was when the job was first seen."""
        self._told: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    def start(self) -> None:
        self._directories.start()

    def stop(self) -> None:
        self._directories.stop()

    def is_alive(self) -> bool:
        return self._directories.is_alive()

    def watch(self, paths: Iterable[str], held: Iterable[tuple[str, str]]) -> None:
        """Watch exactly these folders. Those that jobs hold are, for each job, what they are when it is first seen."""
        held = set(held)
        self._note_deleted()
        self._lost &= held
        self._held = {pair: self._held[pair] if pair in self._held else _inode(pair[1]) for pair in held}
        self._paths = {*paths, *(folder for _, folder in held)}
        self.look_again()

    def _hint(self, directory: str, name: str, finished: bool) -> None:
        if not self._hinted:
            self._hinted = True
            self._loop.call_soon_threadsafe(self.look_again)

    def _deleted(self, path: str) -> None:
        self._ended.add(path)

    def look_again(self) -> None:
        """Compare each folder with what it was."""
        self._hinted = False
        self._arm()
        self._note_deleted()
        absent = frozenset(path for path in self._paths if _inode(path) is None)
        lost = {pair for pair, first in self._held.items() if pair in self._lost or _inode(pair[1]) != first}
        told = frozenset(folder for _, folder in lost), absent
        if told != self._told:
            self._told = told
            self._emit(FoldersChanged(*told))

    def _note_deleted(self) -> None:
        """Who holds a folder that was deleted has lost it, whatever is made in its place."""
        ended, self._ended = self._ended, set()
        self._lost |= {pair for pair in self._held if pair[1] in ended}

    def _arm(self) -> None:
        above = {directory for path in self._paths for directory in _and_above(path)}
        # Where a folder is missing, its next step into being shows in the nearest directory that is there.
        awaited = {nearest_existing(path) for path in self._paths if not os.path.isdir(path)}
        for problem in self._directories.watch(sorted(awaited), themselves=sorted(above - awaited)):
            log.debug("not watched: %s", problem)


def _inode(path: str) -> Inode | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _and_above(path: str) -> Iterator[str]:
    while path != os.path.dirname(path):
        yield path
        path = os.path.dirname(path)
