"""Host path <-> container path, by the mounts; the longest mount wins."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from taowatch.core.owner import is_below


def to_container(path: str, binds: Iterable[tuple[str, str]]) -> str | None:
    """What a host path is called in the container, or None where no mount has it. `binds` are (destination, source).

    A folder on which another mount lies is hidden in the container: what is in it has no name there by this mount.
    """
    binds, path = list(binds), _normal(path)
    found = [(_normal(source), destination) for destination, source in binds if is_below(path, _normal(source))]
    for mount in sorted(found, key=lambda pair: len(pair[0]), reverse=True):
        moved = _moved(path, *mount)
        if to_host(moved, binds) == path:
            return moved
    return None


def to_host(path: str, binds: Iterable[tuple[str, str]]) -> str | None:
    """Where a container path lies on the host, or None where no mount covers it. `binds` are (destination, source)."""
    path = _normal(path)
    found = [(_normal(destination), source) for destination, source in binds if is_below(path, _normal(destination))]
    mount = max(found, key=lambda pair: len(pair[0]), default=None)
    return _moved(path, *mount) if mount else None


def _moved(path: str, old: str, new: str) -> str:
    return _normal(new.rstrip("/") + "/" + path[len(old.rstrip("/")) :])


def _normal(path: str) -> str:
    # POSIX lets two leading slashes mean something else; on Linux they do not.
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else posixpath.normpath(path)
