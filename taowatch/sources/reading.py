"""One look at a mounts file: from a path to what the launcher would make of it. Never raises for what it finds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from taowatch.core.mapping import EMPTY, MAX_BYTES, Mapping, Rejected, digest, parse
from taowatch.core.model import INVALID, MISSING, OK

_ENTRIES_LOOKED_AT = 2000


@dataclass(frozen=True)
class HostPaths:
    """Resolves as the launcher does, for a user with this home."""

    home: Path

    def real(self, path: str) -> str:
        if path == "~" or path.startswith("~/"):
            path = f"{self.home}{path[1:]}"
        expanded = os.path.expanduser(path)
        return os.path.realpath(expanded if os.path.isabs(expanded) else self.home / expanded)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)


@dataclass(frozen=True)
class Reading:
    """What stood in the file; `content` is None where there was none to read."""

    path: str
    state: str
    mapping: Mapping = EMPTY
    error: str | None = None
    content: bytes | None = None
    digest: str | None = None
    written_at: float | None = None
    awaits: tuple[str, ...] = ()
    """Real sources whose absence makes it invalid."""
    changed_at: float | None = None
    """Since when it means what it means, in seconds since the epoch: its last change, or that of a link in a source."""


def read_mounts_file(path: str, home: Path) -> Reading:
    """The mounts file at `path` as the launcher would find it now."""
    try:
        content, written_at, changed_at = _content(path)
    except FileNotFoundError:
        return Reading(path, MISSING)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Reading(path, INVALID, error=reason)
    return judge(Reading(path, OK, content=content, written_at=written_at, changed_at=changed_at), home)


def judge(found: Reading, home: Path) -> Reading:
    """What the launcher would make of this content now: sources may have come and gone since it was read."""
    content = found.content or b""
    known = replace(found, digest=digest(content), mapping=EMPTY, error=None, awaits=())
    try:
        mapping = parse(content, HostPaths(home))
    except Rejected as error:
        whole = content if len(content) <= MAX_BYTES else None
        awaits = (error.missing,) if error.missing else ()
        return replace(known, state=INVALID, error=str(error), content=whole, awaits=awaits)
    turned = max((_turned_at(mount.source, mount.real_source, home) for mount in mapping.mounts), default=0.0)
    return replace(known, state=OK, mapping=mapping, changed_at=max(found.changed_at or 0.0, turned))


def notebooks_in(directories: Iterable[str]) -> tuple[str, ...]:
    """The notebooks that lie directly in these directories, which may be huge or gone."""
    found: list[str] = []
    for directory in dict.fromkeys(directories):
        try:
            with os.scandir(directory) as entries:
                names = [entry.path for entry, _ in zip(entries, range(_ENTRIES_LOOKED_AT), strict=False)]
        except OSError:
            continue
        found += sorted(name for name in names if name.endswith(".ipynb"))
    return tuple(found)


def link_chain(path: str) -> list[str]:
    """`path`, then what each symlink on the way leads to, up to the file itself (or where a loop closes)."""
    chain = [os.path.abspath(path)]
    while os.path.islink(chain[-1]) and len(chain) < 40:
        target = os.path.abspath(os.path.join(os.path.dirname(chain[-1]), os.readlink(chain[-1])))
        if target in chain:
            break
        chain.append(target)
    return chain


def nearest_existing(directory: str) -> str:
    """`directory`, or its nearest ancestor that is there: where one notices that it comes into being."""
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        directory = os.path.dirname(directory)
    return directory


def _turned_at(source: str, real: str, home: Path) -> float:
    """When a link on the way to a source was made; 0 where there is none."""
    place = f"{home}{source[1:]}" if source == "~" or source.startswith("~/") else source
    if not place.startswith("/") or os.path.normpath(place) == real:
        return 0.0
    made = [0.0]
    while place != os.path.dirname(place):
        try:
            found = os.lstat(place)
            made += [found.st_ctime] if stat.S_ISLNK(found.st_mode) else []
        except OSError:
            pass
        place = os.path.dirname(place)
    return max(made)


def _content(path: str) -> tuple[bytes, float, float]:
    # O_NONBLOCK: a fifo must not hold us up. One byte too many tells "too large" without reading it all.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise ValueError("a directory stands in its place")
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        # A file that was renamed here brings an old time of writing with it; that of its change is new.
        return file.read(MAX_BYTES + 1), found.st_mtime, max(found.st_mtime, found.st_ctime)
