"""All that can happen, in the past tense. Who knows these knows the program."""

from __future__ import annotations

from dataclasses import dataclass

from taowatch.core.config import Config
from taowatch.core.jobs import Container, Launcher
from taowatch.core.mapping import Mapping
from taowatch.core.model import Project, Revision
from taowatch.core.owner import Kernel


@dataclass(frozen=True)
class MappingChanged:
    """A mounts file was read and has another content than before (or was read for the first time)."""

    path: str
    state: str
    mapping: Mapping
    error: str | None
    content: bytes | None
    """None where there is no file, or none that could be read."""
    digest: str | None
    written_at: float | None
    kernels: tuple[Kernel, ...] = ()
    notebooks: tuple[str, ...] = ()
    """Notebooks that lie directly in the source folders."""
    awaits: tuple[str, ...] = ()
    """Real sources whose absence makes it invalid."""
    changed_at: float | None = None
    """Since when it means what it means: a rename, or a link in a source that was turned, is later than the writing."""


@dataclass(frozen=True)
class RevisionKept:
    """A content is safe in the history. `digest` says which, `revision` under which number and by whom."""

    revision: Revision


@dataclass(frozen=True)
class ContainersListed:
    """All running containers, after each connection to the engine. Whatever is not among them has ended."""

    containers: tuple[tuple[Container, Launcher | None], ...]


@dataclass(frozen=True)
class ContainerSeen:
    """A container of a TAO image started, or its launcher became known."""

    container: Container
    launcher: Launcher | None


@dataclass(frozen=True)
class ContainerEnded:
    id: str


@dataclass(frozen=True)
class LaunchersSeen:
    """All launchers of this user that were alive when a mounts file changed."""

    launchers: tuple[Launcher, ...]


@dataclass(frozen=True)
class FoldersChanged:
    """Watched folders were deleted, moved or replaced, or are there (again)."""

    lost: frozenset[str]
    """Those that are not what they were when the watching began."""
    absent: frozenset[str]
    """Those that are not there."""


@dataclass(frozen=True)
class LauncherEnded:
    pid: int


@dataclass(frozen=True)
class EngineConnected:
    """The Docker engine answers. A listing follows."""


@dataclass(frozen=True)
class EngineLost:
    """The Docker engine cannot be reached; `reason` is one line for people."""

    reason: str


@dataclass(frozen=True)
class DesktopChanged:
    """Whether notifications reach a desktop: `desktop`, or the reason why not."""

    state: str


@dataclass(frozen=True)
class ActionChosen:
    """The user pressed a button of the notification `key`."""

    key: str
    action: str


@dataclass(frozen=True)
class ProjectsRead:
    """The known projects, after a change of any."""

    projects: tuple[Project, ...]


@dataclass(frozen=True)
class ConfigRead:
    """The user's configuration, at the start and after each reload."""

    config: Config


@dataclass(frozen=True)
class Restored:
    """A revision was put back, and whatever stands in the file by now was read."""

    path: str


@dataclass(frozen=True)
class RestoreFailed:
    """A revision that the user asked for could not be put back."""

    key: str
    reason: str


Event = (
    MappingChanged
    | RevisionKept
    | ContainersListed
    | ContainerSeen
    | ContainerEnded
    | LaunchersSeen
    | FoldersChanged
    | LauncherEnded
    | EngineConnected
    | EngineLost
    | DesktopChanged
    | ActionChosen
    | ProjectsRead
    | ConfigRead
    | Restored
    | RestoreFailed
)
