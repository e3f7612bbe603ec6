"""The mounts file -> MappingChanged: watched through its directories, settled, read, compared by content."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from taowatch.core.events import Event, LaunchersSeen, MappingChanged
from taowatch.core.jobs import Launcher
from taowatch.core.model import OK
from taowatch.core.owner import Kernel
from taowatch.sources.directories import Directories
from taowatch.sources.polling import Stamp, stamp
from taowatch.sources.reading import Reading, judge, link_chain, nearest_existing, notebooks_in, read_mounts_file

log = logging.getLogger(__name__)

SETTLE = 0.3
"""Seconds of quiet before a file that is broken or gone counts as such: notebooks truncate first and write then."""

Processes = Callable[[], tuple[tuple[Kernel, ...], tuple[Launcher, ...]]]


class MountsFileSource:
    """Watches one mounts file. Lives in the event loop; only the hint that something changed comes from a thread."""

    def __init__(self, path: Path | str, home: Path, emit: Callable[[Event], None], processes: Processes) -> None:
        self._path = str(path)
        self._home = home
        self._emit = emit
        self._processes = processes
        self._directories = Directories(self._hint)
        self._loop = asyncio.get_running_loop()
        self._hinted = False
        self._names: set[tuple[str, str]] = set()
        self._settling: asyncio.TimerHandle | None = None
        self._last: tuple[object, ...] | None = None
        self._stamp: Stamp = None
        self._reading: Reading | None = None
        self._first = True
        self.problems: list[str] = []

    def start(self) -> None:
        """Begin to watch, then read once: in this order nothing can change unseen in between."""
        self._directories.start()
        self._arm()
        self._look(final=True)

    def stop(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._directories.stop()

    def is_alive(self) -> bool:
        return self._directories.is_alive()

    def look_again(self) -> None:
        """Look whatever the events said: after a resume, a reload, or lost events.

        A file that is the same one still is not opened: who opens it is watched for launchers.
        """
        self._arm()
        self._look(final=False, again=True)  # not final, as it may be half written at this very moment

    def _hint(self, directory: str, name: str, finished: bool) -> None:
        # In the reader thread: filter and pass on. One pending hint is enough, which also takes the edge off bursts.
        if name and directory and (directory, name) not in self._names:
            return
        if not self._hinted:
            self._hinted = True
            self._loop.call_soon_threadsafe(self._changed)

    def _changed(self) -> None:
        self._hinted = False
        self._arm()
        self._look(final=False)

    def _arm(self) -> None:
        """Watch the directory of every link on the way to the file, and the file itself for writers that stay open."""
        chain = link_chain(self._path)
        names: set[tuple[str, str]] = set()
        directories: set[str] = set()
        for link in chain:
            parent, name = os.path.split(link)
            there = nearest_existing(parent)
            if there != parent:  # wait for the next step on the way to come into being
                name = os.path.relpath(parent, there).split("/")[0]
            directories.add(there)
            names.add((there, name))
            above, own_name = os.path.split(there)
            directories.add(above)  # a directory that is moved away shows in the one above
            names.add((above, own_name))
        self._names = names
        problems = self._directories.watch(sorted(directories), chain[-1:])
        if problems != self.problems:
            self.problems = problems
            for problem in problems:
                log.warning("not watched: %s", problem)

    def _look(self, final: bool, again: bool = False) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        reading = self._read(again)
        if reading.state != OK and not final:
            self._settling = self._loop.call_later(SETTLE, self._look, True)
            return
        seen = (reading.state, reading.digest, reading.error, reading.mapping.mounts)
        if seen != self._last:
            self._last = seen
            self._report(reading)

    def _read(self, again: bool) -> Reading:
        now, before = stamp(self._path, is_file=False), self._reading
        if again and before is not None and before.content is not None and now is not None and now == self._stamp:
            reading = judge(before, self._home)
        else:
            reading = read_mounts_file(self._path, self._home)
        self._stamp, self._reading = now, reading
        return reading

    def _report(self, reading: Reading) -> None:
        kernels, launchers = self._processes()
        changed = MappingChanged(
            path=reading.path,
            state=reading.state,
            mapping=reading.mapping,
            error=reading.error,
            content=reading.content,
            digest=reading.digest,
            written_at=reading.written_at,
            kernels=kernels,
            notebooks=notebooks_in(mount.real_source for mount in reading.mapping.mounts),
            awaits=reading.awaits,
            changed_at=reading.changed_at,
        )
        seen = LaunchersSeen(launchers)
        # Who was alive before a change holds what the file said before it; at the first reading nothing was said yet.
        for event in (changed, seen) if self._first else (seen, changed):
            self._emit(event)
        self._first = False
