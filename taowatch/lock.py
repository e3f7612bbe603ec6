"""One daemon at a time: a lock held by the kernel, which no crash leaves behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from taowatch.errors import TaowatchError
from taowatch.paths import private_directory


class Lock:
    """Held from `take` until the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self) -> None:
        """Raises TaowatchError where another daemon holds it."""
        private_directory(self._path.parent)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            raise TaowatchError(
                f"a taowatch daemon runs already (pid {holder or 'unknown'})", "`taowatch status` shows what it sees"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)


def holder(path: Path) -> int | None:
    """The pid of the daemon that holds the lock now, or None."""
    if not is_held(path):
        return None
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 1 else None


def is_held(path: Path) -> bool:
    """Whether a daemon holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
