"""Which conflicts the user chose to keep, on disk: a daemon that comes again asks no second time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from taowatch.core.facts import Identity
from taowatch.paths import private_directory, write_atomically

log = logging.getLogger(__name__)


class Kept:
    """The file with the choices."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> frozenset[Identity]:
        """What stands in it; nothing where it is missing or damaged."""
        try:
            document: Any = json.loads(self._path.read_bytes())
            return frozenset(_identity(entry) for entry in document)
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, TypeError, RecursionError) as error:
            log.warning("%s is damaged and passed over: %s", self._path, error)
            return frozenset()

    def write(self, kept: Iterable[Identity]) -> None:
        """Raises OSError."""
        private_directory(self._path.parent)
        write_atomically(self._path, json.dumps(sorted(kept, key=repr)).encode())


def _identity(entry: Any) -> Identity:
    kind, job, *paths = entry
    if len(paths) != 3 or not all(isinstance(word, str) for word in (kind, job)):
        raise ValueError("not a conflict")
    if not all(path is None or isinstance(path, str) for path in paths):
        raise ValueError("not a conflict")
    return (kind, job, paths[0], paths[1], paths[2])
