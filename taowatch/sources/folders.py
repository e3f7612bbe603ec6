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
        self._loop = asyncio.get_running_loop()
        self._hinted = False
        self._first_seen: dict[str, Inode | None] = {}
        self._told: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    def start(self) -> None:
        self._directories.start()

    def stop(self) -> None:
        self._directories.stop()

    def is_alive(self) -> bool:
        return self._directories.is_alive()

    def watch(self, paths: Iterable[str]) -> None:
        """Watch exactly these folders. Each is from now on what it is at this moment, or when it comes into being."""
        self._first_seen = {path: self._first_seen.get(path) or _inode(path) for path in paths}
        self._ended &= self._first_seen.keys()
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
        lost, absent = set(), set()
        for path, first in self._first_seen.items():
            now = _inode(path)
            if now is None:
                absent.add(path)
            if now is None or now != (first or now) or path in self._ended:
                lost.add(path)
            self._first_seen[path] = first or now
        told = frozenset(lost), frozenset(absent)
        if told != self._told:
            self._told = told
            self._emit(FoldersChanged(*told))

    def _arm(self) -> None:
        above = {directory for path in self._first_seen for directory in _and_above(path)}
        # Where a folder is missing, its next step into being shows in the nearest directory that is there.
        awaited = {nearest_existing(path) for path in self._first_seen if not os.path.isdir(path)}
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
