"""`on_conflict = "block"`: mounts files are read-only while a job lives, and what they were is given back.

What was changed stands on disk before it is changed, so that a daemon that was killed gives it back when it starts.
It keeps honest programs out, not root, and not those that rename another file over it; both are still warned about.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from taowatch.core.wording import printable
from taowatch.paths import private_directory, write_atomically

log = logging.getLogger(__name__)

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Protection:
    """The files that are read-only because of us, with the mode that each had."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def protect(self, files: Iterable[str]) -> None:
        """Make exactly these read-only. Raises OSError."""
        wanted, before = set(files), self._recorded()
        for file in before.keys() - wanted:
            _give_back(file, before.pop(file))
        for file in wanted - before.keys():
            mode = _mode(file)
            if mode is not None and mode & _WRITE:
                before[file] = mode
        self._write(before)
        for file, mode in before.items():
            _change(file, mode & ~_WRITE)

    def give_back(self) -> None:
        """Make everything as it was: at the end, and at the start after a crash. Raises OSError."""
        self.protect(())

    def _recorded(self) -> dict[str, int]:
        try:
            return {str(file): int(mode) for file, mode in json.loads(self._record.read_bytes()).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError) as error:
            log.warning("%s is damaged and passed over: %s", self._record, error)
            return {}

    def _write(self, modes: dict[str, int]) -> None:
        if modes:
            private_directory(self._record.parent)
            write_atomically(self._record, json.dumps(modes).encode())
        else:
            self._record.unlink(missing_ok=True)


def _mode(file: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(file).st_mode)
    except OSError:
        return None


def _give_back(file: str, mode: int) -> None:
    # Only what we took: somebody may have chosen another mode, or put another file there, in the meantime.
    if _mode(file) == mode & ~_WRITE:
        _change(file, mode)


def _change(file: str, mode: int) -> None:
    """One file that cannot be changed must not keep the others from being."""
    try:
        os.chmod(file, mode)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s: its mode cannot be changed: %s", printable(file), error.strerror)
