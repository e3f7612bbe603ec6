"""The history: one file for each revision of the mounts file.

Plain files rather than a database, because a home may lie on NFS, where `link()` is atomic and locks are not to be
relied on; because one damaged file costs one revision and not all; and because a person can read them with `cat`.
Numbers are given out by `link()`, which fails where the name is taken: two writers never share one.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from taowatch.core.effects import KeepRevision
from taowatch.core.mapping import digest
from taowatch.core.model import Owner, Revision
from taowatch.core.revisions import thin
from taowatch.errors import TaowatchError
from taowatch.paths import private_directory, write_atomically

log = logging.getLogger(__name__)

KEEP = 1000
"""Revisions kept; the oldest go first, but never the last one of a mapping."""
_SLACK = 100
"""How many more there may be, because thinning out reads them all."""


class History:
    """The revisions in one directory. Safe for several processes at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._said: set[int] = set()

    def add(self, effect: KeepRevision) -> Revision:
        """Keep a content, on disk when this returns; where it is the latest already, that revision is returned.

        Raises OSError where it cannot be written.
        """
        private_directory(self._directory.parent.parent)
        private_directory(self._directory.parent)
        private_directory(self._directory)
        while True:
            numbers = self._numbers()
            latest = self._latest(numbers, effect.path)
            # What was refused while a source was missing is another revision once the launcher accepts it.
            better = latest is not None and latest.binds is None and effect.binds is not None
            if latest is not None and latest.digest == effect.digest and not better:
                return latest
            number = max([*numbers, *self._numbers(".damaged")], default=0) + 1
            revision = Revision(number, effect.path, effect.digest, effect.written_at, effect.binds, effect.owner)
            if self._create(revision, effect.content):
                self._prune(numbers)
                return revision

    def revisions(self, last: int | None = None) -> list[Revision]:
        """The readable revisions, oldest first; with `last`, that many of the latest, and of the older ones the newest
        of each mapping."""
        found = [revision for number in sorted(self._numbers()) if (revision := self._revision(number)) is not None]
        return list(thin(found, last)) if last else found

    def content(self, number: int) -> bytes:
        """The bytes of a revision. Raises TaowatchError where there is none of this number."""
        stored = self._load(number)
        if stored is None:
            raise TaowatchError(f"there is no revision {number}", "`taowatch history` lists them")
        return base64.b64decode(stored["content"])

    def revision(self, number: int) -> Revision:
        """Raises TaowatchError where there is none of this number."""
        revision = self._revision(number)
        if revision is None:
            raise TaowatchError(f"there is no revision {number}", "`taowatch history` lists them")
        return revision

    def restore(self, number: int, by: str = "taowatch restore") -> Revision:
        """Write a revision back to its file, byte for byte and atomically, and keep it as the newest revision.

        A symlink stays one: the file it leads to is replaced. Raises TaowatchError or OSError.
        """
        old, content = self.revision(number), self.content(number)
        target = Path(os.path.realpath(old.path))
        # Kept before it is written: the daemon, which sees the file at once, then finds who it was.
        stamp = KeepRevision(
            old.path,
            content,
            old.digest,
            old.binds,
            time.time(),
            Owner(old.owner.project, old.owner.notebook, None, True, by),
        )
        kept = self.add(stamp)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        write_atomically(target, content, mode)
        return kept

    def _numbers(self, suffix: str = ".json") -> list[int]:
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        stems = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
        return [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]

    def _latest(self, numbers: list[int], path: str) -> Revision | None:
        for number in sorted(numbers, reverse=True):
            revision = self._revision(number)
            if revision is not None and revision.path == path:
                return revision
        return None

    def _create(self, revision: Revision, content: bytes) -> bool:
        """False where another process took the number first."""
        document = {**asdict(revision), "content": base64.b64encode(content).decode("ascii")}
        temporary = self._directory / f".new-{os.getpid()}-{revision.digest[:8]}"
        write_atomically(temporary, json.dumps(document).encode())
        try:
            os.link(temporary, self._file(revision.number))
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _prune(self, numbers: list[int]) -> None:
        if len(numbers) < KEEP + _SLACK:
            return
        all = self.revisions()
        kept = {revision.number for revision in thin(all, KEEP)}
        for revision in all:
            if revision.number not in kept:
                self._file(revision.number).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self._directory / f"{number:06d}.json"

    def _revision(self, number: int) -> Revision | None:
        stored = self._load(number)
        if stored is None:
            return None
        binds = stored["binds"]
        return Revision(
            number,
            stored["path"],
            stored["digest"],
            stored["written_at"],
            None if binds is None else tuple((destination, source) for destination, source in binds),
            Owner(**stored["owner"]),
        )

    def _load(self, number: int) -> dict[str, Any] | None:
        """The stored revision, or None where it is gone or damaged; a damaged one is set aside and said."""
        file = self._file(number)
        try:
            stored = json.loads(file.read_bytes())
            _check(stored)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(number, f"revision {number} cannot be read and is passed over: {error.strerror}")
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._set_aside(file, f"revision {number} is damaged ({error})")
            return None
        found: dict[str, Any] = stored
        return found

    def _set_aside(self, file: Path, text: str) -> None:
        try:
            file.rename(file.with_suffix(".damaged"))
        except OSError as error:  # a read-only file system: it is passed over where it lies
            self._say(int(file.stem), f"{text}, and cannot be set aside: {error.strerror}")
        else:
            log.warning("%s; set aside as %s.damaged", text, file.stem)

    def _say(self, number: int, text: str) -> None:
        if number not in self._said:
            self._said.add(number)
            log.warning("%s", text)


def _check(stored: Any) -> None:
    """Raises ValueError, KeyError, TypeError or AttributeError where this is no revision."""
    if digest(base64.b64decode(stored["content"], validate=True)) != stored["digest"]:
        raise ValueError("its content does not fit its digest")
    if not isinstance(stored["path"], str) or not isinstance(stored["written_at"], int | float):
        raise ValueError("its path or time is none")
    binds = stored["binds"]
    if binds is not None and not all(
        isinstance(destination, str) and isinstance(source, str) for destination, source in binds
    ):
        raise ValueError("its mounts are none")
    owner = Owner(**stored["owner"])
    if not all(text is None or isinstance(text, str) for text in (owner.project, owner.notebook, owner.what)):
        raise ValueError("its owner is none")
