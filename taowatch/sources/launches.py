"""Somebody reads what each launcher reads at its start -> LaunchersSeen.

No event tells that a process begins. But every launcher opens the credentials of Docker before it asks for its image,
and the mounts file when its container is about to be made (launcher-facts; both seen with 6.26.3): who opens one of the
two is worth a look at the processes, which finds a launcher that waits, and one that is about to be misled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from taowatch.core.events import Event, LaunchersSeen
from taowatch.core.jobs import Launcher
from taowatch.sources.directories import Directories
from taowatch.sources.reading import nearest_existing

PAUSE = 0.5
"""Seconds between two looks: tools that use Docker in a loop must not make us busy."""
_AFTER_A_WRITER = 0.02
"""Seconds. Who opens a mounts file to write it is not worth a look of its own, and its warning must not wait for it."""


class LaunchesSource:
    """Looks at the processes when one may be a launcher that starts. Lives in the event loop."""

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        emit: Callable[[Event], None],
        look_at_files: Callable[[], None],
        launchers: Callable[[], tuple[Launcher, ...]],
    ) -> None:
        self._credentials = str(Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json")
        self._files: tuple[str, ...] = ()
        self._emit = emit
        self._look_at_files = look_at_files
        self._launchers = launchers
        self._directories = Directories(self._hint)
        self._loop = asyncio.get_running_loop()
        self._hinted = False
        self._next_look = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._directories.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._directories.stop()

    def is_alive(self) -> bool:
        return self._directories.is_alive()

    def watch(self, mounts_files: Iterable[str]) -> None:
        """Watch the readers of these files, and of the credentials, which a first login may still have to make."""
        self._files = tuple(mounts_files)
        beside = nearest_existing(os.path.dirname(self._credentials))
        self._directories.watch([beside], opened=(self._credentials, *self._files))

    def _hint(self, directory: str, name: str, finished: bool) -> None:
        if name and not f"{self._credentials}/".startswith(f"{directory.rstrip('/')}/{name}/"):
            return
        if not self._hinted:
            self._hinted = True
            self._loop.call_soon_threadsafe(self._opened)

    def _opened(self) -> None:
        self._hinted = False
        if self._timer is None:
            self._timer = self._loop.call_at(max(self._next_look, self._loop.time() + _AFTER_A_WRITER), self._look)

    def _look(self) -> None:
        self._timer = None
        self._next_look = self._loop.time() + PAUSE
        self.watch(self._files)  # a file that was replaced is another one now
        # What the files mean may have changed without being written: a link in a source leads elsewhere.
        self._look_at_files()
        self._emit(LaunchersSeen(self._launchers()))
