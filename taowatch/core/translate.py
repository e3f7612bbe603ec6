"""Host path <-> container path, by the mounts; the longest mount wins."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from taowatch.core.owner import is_below


def to_container(path: str, binds: Iterable[tuple[str, str]]) -> str | None:
    """What a host path is called in the container, or None where no mount has it. `binds` are (destination, source)."""
    found = [(source, destination) for destination, source in binds if is_below(path, source)]
    return _moved(path, max(found, key=lambda pair: len(pair[0]), default=None))


def to_host(path: str, binds: Iterable[tuple[str, str]]) -> str | None:
    """Where a container path lies on the host, or None where no mount covers it. `binds` are (destination, source)."""
    path = posixpath.normpath(path)
    found = [(destination, source) for destination, source in binds if is_below(path, destination)]
    return _moved(path, max(found, key=lambda pair: len(pair[0]), default=None))


def _moved(path: str, mount: tuple[str, str] | None) -> str | None:
    if mount is None:
        return None
    old, new = mount
    rest = path[len(old.rstrip("/")) :]
    return posixpath.normpath(new + rest) if rest else new
