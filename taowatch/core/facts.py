"""What is known: the facts, and what follows from them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from taowatch.core.config import Config
from taowatch.core.effects import Alert
from taowatch.core.jobs import Container, Launcher
from taowatch.core.mapping import Mapping
from taowatch.core.model import Conflict, Job, MountsFile, Project, Revision

CONNECTED = "connected"
OLDER_FILE = ".tlt_mounts.json"
"""What launchers of 4.x and before read where the common file is missing."""

Identity = tuple[str, str, str | None, str | None, str | None]


@dataclass(frozen=True)
class Moment:
    """From `since` on (seconds since the epoch), the file at `path` gave `mapping`; None where it was not valid."""

    path: str
    since: float
    mapping: Mapping | None
    seen: float = 0.0
    """When it was read."""


@dataclass(frozen=True)
class State:
    """All that the daemon knows. The upper part are facts; the part below follows from them."""

    mounts_file: str
    home: str = ""
    config: Config = field(default_factory=Config)
    files: dict[str, MountsFile] = field(default_factory=dict)
    revisions: tuple[Revision, ...] = ()
    asked: dict[str, str] = field(default_factory=dict)
    """By mounts file: the digest of the content that was last asked to be kept."""
    timeline: tuple[Moment, ...] = ()
    """What each mounts file gave since when, as far as it was watched: what a launcher was started with."""
    containers: dict[str, Container] = field(default_factory=dict)
    """Running containers of TAO images, ours and others'."""
    contained: dict[str, Job] = field(default_factory=dict)
    """The jobs among them."""
    launchers: dict[int, Job] = field(default_factory=dict)
    """Jobs known from their process alone: they wait for their container, or no engine can be asked."""
    seen: dict[int, Launcher] = field(default_factory=dict)
    """The processes behind `launchers`."""
    lost: frozenset[str] = frozenset()
    """Watched folders that are not what they were: deleted, moved or replaced."""
    absent: frozenset[str] = frozenset()
    """Watched folders that are not there."""
    kept: frozenset[Identity] = frozenset()
    """Conflicts for which the user chose Keep: true, but told no more."""
    kept_before: frozenset[Identity] = frozenset()
    """What was kept when an earlier daemon ended; each counts once its conflict is found again."""
    restoring: frozenset[str] = frozenset()
    """Mounts files that taowatch is putting back by itself at this moment."""
    gave_up: frozenset[str] = frozenset()
    """Mounts files that it does not put back any more, because somebody insists."""
    restores: tuple[float, ...] = ()
    """When it last did so, in seconds since the epoch."""
    notices: dict[str, Alert] = field(default_factory=dict)
    """What it did by itself, by mounts file."""
    docker: str = "not asked yet"
    notifications: str = "not asked yet"
    projects: tuple[Project, ...] = ()

    jobs: tuple[Job, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    alerts: dict[str, Alert] = field(default_factory=dict)

    @property
    def older_file(self) -> str:
        return posixpath.join(self.home, OLDER_FILE)

    @property
    def not_ours(self) -> tuple[Container, ...]:
        """Containers of TAO images that are no jobs of this user's mounts files."""
        return tuple(container for id, container in self.containers.items() if id not in self.contained)
