"""Looking at paths again and again, for file systems that tell of no change and kernels that have no watch left."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two looks. The thread is there only while there is something to be looked at."""

Stamp = tuple[int, int, int, int, int] | None


class Polling:
    """A set of polled paths that can be replaced at any time. `changed` is called in the thread, with the path."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._paths: dict[str, Stamp] = {}
        self._files: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, paths: Mapping[str, bool]) -> None:
        """Poll exactly these paths; the value says whether it is a file, whose content counts."""
        files = frozenset(path for path, is_file in paths.items() if is_file)
        stamps = {path: self._paths[path] if path in self._paths else stamp(path, path in files) for path in paths}
        with self._lock:
            self._paths, self._files = stamps, files
        if paths and (self._thread is None or not self._thread.is_alive()):
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="polling", daemon=True)
            self._thread.start()
        elif not paths:
            self.stop()

    def stop(self) -> None:
        """End the thread. One that hangs in a dead file system is left to itself."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1)
        self._thread = None

    def is_alive(self) -> bool:
        return self._thread is None or self._thread.is_alive()

    def _run(self) -> None:
        stop = self._stop
        while not stop.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        with self._lock:
            paths, files = dict(self._paths), self._files
        for path, before in paths.items():
            now = stamp(path, path in files)
            if now == before:
                continue
            with self._lock:
                if path not in self._paths:
                    continue
                self._paths[path] = now
            self._changed(path)


def stamp(path: str, is_file: bool) -> Stamp:
    """What tells one version from another; None where nothing is there or can be seen."""
    try:
        # Opening makes a network file system ask its server, where stat would answer from a cache.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if is_file else -1
        try:
            found = os.fstat(descriptor) if is_file else os.stat(path)
        finally:
            if is_file:
                os.close(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
