"""What the TAO launcher would make of a mounts file.

The rules are those of `nvidia-tao` 0.1.24 to 6.26.3 (`DockerHandler._get_mount_env_data`, `formatted_mounts` and
`get_docker_option_args`), followed by what Docker itself refuses. Knowledge of the file's format lives here only.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_BYTES = 4 * 1024 * 1024
"""A larger mounts file is not read. Real ones have less than 10 kB."""

MOUNTS_FILES = (".tao_mounts.json", ".tlt_mounts.json")
"""The names that the common file has; launchers of 4.x and before fall back to the second."""

DOCKER_OPTIONS = ("user", "ports", "shm_size", "ulimits", "privileged", "network", "tty")


class Rejected(ValueError):
    """The launcher, or Docker after it, would not accept this file; the text says why in one line."""

    def __init__(self, reason: str, missing: str | None = None) -> None:
        super().__init__(reason)
        self.missing = missing
        """The real source that is not there, where that is the reason."""


class Resolver(Protocol):
    """The two questions that the rules ask of the host."""

    def real(self, path: str) -> str:
        """`~` expanded, symlinks followed; raises ValueError for what no path can be."""

    def exists(self, path: str) -> bool: ...


@dataclass(frozen=True)
class Mount:
    """One entry of `Mounts`, as written and as the launcher resolves it on the host."""

    source: str
    destination: str
    real_source: str
    real_destination: str

    def source_seen_from(self, cwd: str | None) -> str:
        """The real source for a launcher started in `cwd`: it resolves a relative source against its own directory."""
        if cwd is None or self.source.startswith(("/", "~")):
            return self.real_source
        return posixpath.normpath(posixpath.join(cwd, self.source))


@dataclass(frozen=True)
class Mapping:
    """The content of a mounts file that the launcher accepts."""

    mounts: tuple[Mount, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    """Name and digest of each of the Envs and DockerOptions. Digests, because values may be secrets."""

    def binds(self, cwd: str | None = None) -> dict[str, str]:
        """Destination -> real source, as Docker gets it. Of two entries with one real source the later wins."""
        by_source = {mount.source_seen_from(cwd): mount.real_destination for mount in self.mounts}
        return {destination: source for source, destination in by_source.items()}

    def vague(self) -> frozenset[str]:
        """The destinations of relative sources: where those lead depends on who resolves them, and on links there."""
        return frozenset(m.real_destination for m in self.mounts if not m.source.startswith(("/", "~")))

    def dropped(self) -> tuple[Mount, ...]:
        """The entries that the launcher loses without a word, because a later one has the same real source."""
        last = {mount.real_source: mount for mount in self.mounts}
        return tuple(mount for mount in self.mounts if last[mount.real_source] is not mount)


EMPTY = Mapping()
"""What the launcher uses where there is no mounts file: no mounts at all, silently."""


def parse(content: bytes, resolver: Resolver) -> Mapping:
    """The mapping that the launcher would read from `content`. Raises Rejected with the reason."""
    document = _document(content)
    if "Mounts" not in document:
        raise Rejected('the key "Mounts" is missing')
    mounts: tuple[Mount, ...] = ()
    options: list[tuple[str, str]] = []
    for key, value in document.items():
        if key == "Mounts":
            mounts = tuple(_mount(entry, number, resolver) for number, entry in _entries(value, key))
        elif key == "Envs":
            options += [_env(entry, number) for number, entry in _entries(value, key)]
        elif key == "DockerOptions":
            options += _docker_options(value)
        else:
            raise Rejected(f'unknown key "{key}" (the launcher accepts Mounts, Envs and DockerOptions)')
    mapping = Mapping(mounts, tuple(sorted(options)))
    _refused_by_docker(mapping)
    return mapping


def digest(content: bytes) -> str:
    """The identity of one content of the file."""
    return hashlib.sha256(content).hexdigest()


def _document(content: bytes) -> dict[str, object]:
    if len(content) > MAX_BYTES:
        raise Rejected(f"larger than {MAX_BYTES // 2**20} MiB, so it was not read")
    if not content.strip():
        raise Rejected("the file is empty")
    try:
        document = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Rejected(f"not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise Rejected(f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Rejected("not a mounts file: nested too deep") from None
    except ValueError as error:  # e.g. a number of more than 4,300 digits
        raise Rejected(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Rejected("not a JSON object")
    return document


def _entries(value: object, key: str) -> Iterator[tuple[int, object]]:
    # The launcher iterates over whatever stands there: an empty string or object passes as "none".
    if isinstance(value, (str, dict)) and not value:
        return iter(())
    if not isinstance(value, list):
        raise Rejected(f'"{key}" is not a list')
    return enumerate(value, start=1)


def _mount(entry: object, number: int, resolver: Resolver) -> Mount:
    if not isinstance(entry, dict) or not {"source", "destination"} <= entry.keys():
        raise Rejected(f'mount {number} has no "source" and "destination"')
    source, destination = entry["source"], entry["destination"]
    if not isinstance(source, str) or not isinstance(destination, str):
        raise Rejected(f"mount {number}: source and destination must be strings")
    try:
        mount = Mount(source, destination, resolver.real(source), resolver.real(destination))
        found = resolver.exists(mount.real_source)
    except (ValueError, OSError):
        raise Rejected(f"mount {number}: source or destination is no possible path") from None
    if not found and source.startswith(("/", "~")):  # others depend on where the launcher is started
        raise Rejected(f"mount {number}: the source {mount.real_source} does not exist", mount.real_source)
    return mount


def _env(entry: object, number: int) -> tuple[str, str]:
    if not isinstance(entry, dict) or not {"variable", "value"} <= entry.keys():
        raise Rejected(f'Envs entry {number} has no "variable" and "value"')
    return f"Envs.{entry['variable']}", _value_digest(entry["value"])


def _docker_options(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise Rejected('"DockerOptions" is not an object')
    for name, setting in value.items():
        if name not in DOCKER_OPTIONS:
            raise Rejected(f'unknown DockerOptions key "{name}" (accepted: {", ".join(DOCKER_OPTIONS)})')
        if name == "ulimits" and not isinstance(setting, dict):
            raise Rejected('DockerOptions "ulimits" is not an object')
    return [(f"DockerOptions.{name}", _value_digest(setting)) for name, setting in value.items()]


def _value_digest(value: object) -> str:
    return digest(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass"))[:16]


def _refused_by_docker(mapping: Mapping) -> None:
    by_source = {mount.real_source: mount for mount in mapping.mounts}
    seen: dict[str, Mount] = {}
    for mount in by_source.values():
        if mount.real_destination == "/":
            raise Rejected('Docker refuses "/" as a destination')
        for path in (mount.real_source, mount.real_destination):
            if ":" in path:
                raise Rejected(f"Docker refuses the colon in {path}")
        if mount.real_destination in seen:
            raise Rejected(
                f"two sources for {mount.real_destination}; Docker refuses this (Duplicate mount point): "
                f"{seen[mount.real_destination].source} and {mount.source}"
            )
        seen[mount.real_destination] = mount
