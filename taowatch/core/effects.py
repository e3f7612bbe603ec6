"""All that taowatch can do, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taowatch.core.model import Owner


@dataclass(frozen=True)
class Alert:
    """What the user is told of one job's conflicts; the same data serves desktop, prompt and log."""

    key: str
    """The job; one alert per job is alive at a time. What taowatch did by itself has a key of its own."""
    severity: str
    title: str
    body: str
    line: str
    """All of it in one line, for the prompt."""
    actions: tuple[tuple[str, str], ...] = ()
    """(key, label)."""


@dataclass(frozen=True)
class Notify:
    """Show an alert on the desktop, in the place of an earlier one with its key."""

    alert: Alert


@dataclass(frozen=True)
class Withdraw:
    """The matter is over: close what was shown for it."""

    key: str


@dataclass(frozen=True)
class KeepRevision:
    """Put a content of the mounts file into the history."""

    path: str
    content: bytes
    digest: str
    binds: tuple[tuple[str, str], ...] | None
    written_at: float
    owner: Owner


@dataclass(frozen=True)
class Restore:
    """Write a revision back to its mounts file; `key` is the alert that it answers."""

    revision: int
    key: str


@dataclass(frozen=True)
class WatchFiles:
    """Watch exactly these mounts files."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class WatchFolders:
    """Tell when one of exactly these folders is deleted, moved, replaced or back."""

    paths: tuple[str, ...]
    """Those of which only matters whether they are there."""
    held: tuple[tuple[str, str], ...]
    """(job, folder): those that must stay what they are as long as the job lives."""


@dataclass(frozen=True)
class ReadAgain:
    """Read a mounts file that did not change itself: what it names is there now, or no more."""

    path: str


@dataclass(frozen=True)
class FollowMapping:
    """Write a mapping of a project that has a mounts file of its own into that file as well."""

    path: str
    content: bytes
    written_at: float


@dataclass(frozen=True)
class Protect:
    """Make exactly these mounts files read-only, and give back those that were."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class RunCommand:
    """Run the user's own command with this document as JSON on its standard input."""

    command: tuple[str, ...]
    document: dict[str, Any]


@dataclass(frozen=True)
class WriteStatus:
    """The state is another: write the snapshot that `taowatch status` reads."""


@dataclass(frozen=True)
class ShowAtPrompt:
    """The alerts that the next prompt of each shell shows; none means all is well."""

    alerts: tuple[Alert, ...]


@dataclass(frozen=True)
class WatchLauncher:
    """Tell when this process ends."""

    pid: int


@dataclass(frozen=True)
class Log:
    """A line for the log."""

    text: str
    warning: bool = False


Effect = (
    Notify
    | Withdraw
    | KeepRevision
    | Restore
    | WatchFiles
    | WatchFolders
    | ReadAgain
    | FollowMapping
    | Protect
    | RunCommand
    | WriteStatus
    | ShowAtPrompt
    | WatchLauncher
    | Log
)
