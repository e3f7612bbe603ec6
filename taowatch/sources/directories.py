"""Which names changed in a set of directories: one thread and one inotify instance for any number of them.

watchdog's Observer starts a thread for each path. Its inotify layer (`InotifyFD`, since watchdog 7.1) does not: many
callbacks share one reader thread, which blocks in poll() without a time-out, so an idle daemon never wakes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

log = logging.getLogger(__name__)

Changed = Callable[[str, str, bool], None]
"""(directory, name in it or "" for the directory itself, whether the change is a finished one)."""

_DIRECTORY = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
)
# Opening and reading are left out: our own reading must not be an event. A writer that keeps the file open shows only
# as "modified", which is asked of the watched files alone, not of everything in a home directory.
_FILE = Mask(InotifyConstants.IN_MODIFY)
_ITSELF = Mask(InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF | InotifyConstants.IN_ONLYDIR)
_OPENED = Mask(InotifyConstants.IN_OPEN)
_FINISHED = InotifyConstants.IN_CLOSE_WRITE | InotifyConstants.IN_MOVED_TO


class Directories:
    """A set of watched paths that can be replaced at any time. `changed` is called in the reader thread."""

    def __init__(self, changed: Changed, deleted: Callable[[str], None] | None = None) -> None:
        self._changed = changed
        self._deleted = deleted
        self._inotify = InotifyFD()
        self._lock = threading.Lock()
        self._paths: dict[WatchDescriptor, str] = {}
        self._generation = CallbackId(0)

    def start(self) -> None:
        self._inotify.start()

    def stop(self) -> None:
        """Watch nothing any more and end the thread; nothing is called after this."""
        with self._lock:
            self._paths = {}
        self._inotify.stop()
        self._inotify.join(5)

    def is_alive(self) -> bool:
        return self._inotify.is_alive()

    def watch(
        self,
        directories: Iterable[str],
        files: Iterable[str] = (),
        themselves: Iterable[str] = (),
        opened: Iterable[str] = (),
    ) -> list[str]:
        """Watch exactly these paths; returns those that could not be watched, with the reason.

        `directories` for the names in them, `files` for being written, `themselves` for directories of which only the
        end or a move matters, whatever goes on in them, and `opened` for being read by somebody.

        All are asked for anew each time, because the inode behind a name may be another one by now. The kernel answers
        with the same descriptor where it is not, so nothing is lost in between.
        """
        wanted = {
            **dict.fromkeys(opened, _OPENED),
            **dict.fromkeys(themselves, _ITSELF),
            **dict.fromkeys(directories, _DIRECTORY),
            **dict.fromkeys(files, _FILE),
        }
        problems: list[str] = []
        with self._lock:
            old = [(wd, self._generation) for wd in self._paths]
            self._generation = CallbackId(self._generation + 1)
            self._paths = {
                wd: path for path, mask in wanted.items() if (wd := self._add(path, mask, problems)) is not None
            }
        self._inotify.remove_callbacks(old)
        return problems

    def _add(self, path: str, mask: Mask, problems: list[str]) -> WatchDescriptor | None:
        if not os.access(path, os.R_OK):  # the layer below would take EACCES for a watch
            if os.path.lexists(path):
                problems.append(f"{path}: not readable")
            return None
        try:
            return self._inotify.add_callback(os.fsencode(path), mask, self, self._generation)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
            return None

    # watchdog's WatchCallback protocol, called in the reader thread

    def on_event(self, event: InotifyEvent) -> None:
        path = self._paths.get(event.wd)
        if path is None:
            return
        finished = bool(event.mask & _FINISHED)
        if event.mask & InotifyConstants.IN_DELETE_SELF and self._deleted is not None:
            self._deleted(path)
        if event.mask & InotifyConstants.IN_MODIFY:
            path, name = os.path.split(path)
        else:
            name = os.fsdecode(event.name)
        self._changed(path, name, finished)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        with self._lock:
            path = self._paths.pop(wd, None)
        if path is not None:
            self._changed(path, "", False)

    def on_queue_overflow(self) -> None:
        log.warning("the kernel dropped file events; everything is read again")
        self._changed("", "", False)
