"""Which file systems lie where: some never tell of changes, and a home may come and go."""

from __future__ import annotations

import logging
import os
import re
import select
from collections.abc import Iterable

log = logging.getLogger(__name__)

_SILENT = re.compile(
    r"nfs\d?|cifs|smb\d?|9p|drvfs|v9fs|virtiofs|vboxsf|vmhgfs|prl_fs|ceph|afs|coda|lustre|gpfs|beegfs|pvfs2|glusterfs"
    r"|fuse(blk|\..+)?|autofs"
)
"""Others change their files without this kernel's knowledge: no inotify event comes."""


def file_systems(text: str) -> dict[str, str]:
    """/proc/self/mountinfo -> type of what is mounted at each point; a later mount covers an earlier one."""
    found = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) >= 5 and right:
            found[_unescaped(fields[4])] = right.split(" ")[0]
    return found


def points(text: str) -> dict[str, str]:
    """/proc/self/mountinfo -> number of what is mounted at each point."""
    lines = (line.split(" ") for line in text.splitlines())
    return {_unescaped(fields[4]): fields[0] for fields in lines if len(fields) >= 5}


def is_under(path: str, mount_points: Iterable[str]) -> bool:
    """Whether a mount or its end at one of these points would change what is at `path`."""
    return any(path == point or path.startswith(f"{point.rstrip('/')}/") for point in mount_points)


def type_at(mounts: dict[str, str], path: str) -> str:
    """The type of the file system on which a real path lies; empty where nothing is known."""
    while path not in mounts:
        if path in ("", "/"):
            return ""
        path = os.path.dirname(path)
    return mounts[path]


def is_silent(kind: str) -> bool:
    """Whether a file system of this type has to be polled."""
    return bool(_SILENT.fullmatch(kind))


def read() -> dict[str, str]:
    """The mounts of this process; none where there is no /proc."""
    return file_systems(_text())


def _text() -> str:
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            return os.fsdecode(file.read())
    except OSError as error:
        log.debug("mountinfo: %s", error)
        return ""


class Changes:
    """A descriptor that becomes readable when something is mounted or unmounted, for an event loop."""

    def __init__(self) -> None:
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        # The file itself is always readable; a change shows as an exceptional condition, which only an epoll of our
        # own can be asked for alone.
        self._epoll = select.epoll()
        self._epoll.register(self._file, select.EPOLLPRI)
        self._points = points(_text())

    def fileno(self) -> int:
        return self._epoll.fileno()

    def take(self) -> bool:
        """Whether there was a change since the last time."""
        return bool(self._epoll.poll(0))

    def where(self) -> set[str]:
        """The mount points at which something else is mounted than the last time this was asked."""
        before, self._points = self._points, points(_text())
        return {point for point, _ in before.items() ^ self._points.items()}

    def close(self) -> None:
        self._epoll.close()
        os.close(self._file)


class Table:
    """The mounts as they are now, read again only after a change: this stands between an overwrite and its warning."""

    def __init__(self) -> None:
        self._changes: Changes | None = None
        self._mounts: dict[str, str] = {}
        self._any_silent = False

    def types(self, paths: Iterable[str]) -> dict[str, str]:
        """The type of the file system under each path; nothing where no mount is of a type that must be polled."""
        mounts = self.current()
        if not self._any_silent:
            return {}
        return {path: type_at(mounts, os.path.realpath(path)) for path in paths}

    def current(self) -> dict[str, str]:
        if self._changes is None:
            try:
                self._changes = Changes()
            except OSError as error:
                log.debug("mountinfo: %s", error)
                return {}
            self._read()
        elif self._changes.take():
            self._read()
        return self._mounts

    def _read(self) -> None:
        self._mounts = read()
        self._any_silent = any(map(is_silent, self._mounts.values()))

    def close(self) -> None:
        if self._changes is not None:
            self._changes.close()
            self._changes = None


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
