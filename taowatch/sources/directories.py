"""Which names changed in a set of directories: one thread and one inotify instance for any number of them.

watchdog's Observer starts a thread for each path. Its inotify layer (`InotifyFD`, since watchdog 7.1) does not: many
callbacks share one reader thread, which blocks in poll() without a time-out, so an idle daemon never wakes.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

from taowatch.core.wording import printable
from taowatch.sources import mountinfo
from taowatch.sources.polling import INTERVAL, Polling

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


_limits_said: set[str] = set()


def _say_limit(limit: str) -> None:
    """Limits hold for all watchers of a user, so one line is enough for all of ours."""
    if limit not in _limits_said:
        _limits_said.add(limit)
        log.warning("%s: looked at every %g s instead (`taowatch doctor` says how to raise it)", limit, INTERVAL)


class Directories:
    """A set of watched paths that can be replaced at any time. `changed` is called in the reader thread.

    Where the kernel cannot tell (a network file system) or has no watch left, the paths are polled instead.
    """

    def __init__(self, changed: Changed, deleted: Callable[[str], None] | None = None) -> None:
        self._changed = changed
        self._deleted = deleted
        self._inotify: InotifyFD | None = None
        self._polling = Polling(self._polled)
        self._lock = threading.Lock()
        self._paths: dict[WatchDescriptor, str] = {}
        self._generation = CallbackId(0)
        self._silent: list[str] = []
        self._mounts = mountinfo.Table()

    def start(self) -> None:
        """Kept for symmetry: the thread starts with the first watch, and again where it died."""

    def stop(self) -> None:
        """Watch nothing any more and end the threads; nothing is called after this."""
        with self._lock:
            self._paths = {}
        self._polling.stop()
        if self._inotify is not None:
            self._inotify.stop()
            self._inotify.join(5)
        self._mounts.close()

    def is_alive(self) -> bool:
        return self._polling.is_alive() and (self._inotify is None or self._inotify.is_alive())

    def watch(
        self,
        directories: Iterable[str],
        files: Iterable[str] = (),
        themselves: Iterable[str] = (),
        opened: Iterable[str] = (),
    ) -> list[str]:
        """Watch exactly these paths; returns what is wrong with the watching, in words.

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
        kinds = self._mounts.types(wanted)
        # Who reads a file leaves nothing that a poll could find.
        silent = [path for path, kind in kinds.items() if wanted[path] is not _OPENED and mountinfo.is_silent(kind)]
        polled = {path: wanted[path] is _FILE for path in silent}
        self._say_silent(sorted(f"{path} ({kinds[path]})" for path in polled))
        problems: list[str] = []
        limit = self._ensure_open()
        with self._lock:
            old = [(wd, self._generation) for wd in self._paths]
            self._generation = CallbackId(self._generation + 1)
            paths: dict[WatchDescriptor, str] = {}
            for path, mask in wanted.items():
                if path in polled:
                    continue
                wd, refused = self._add(path, mask, problems) if not limit else (None, limit)
                if wd is not None:
                    paths[wd] = path
                elif refused:
                    limit = limit or refused
                    if mask is not _OPENED:
                        polled[path] = mask is _FILE
            self._paths = paths  # at once: an event that comes meanwhile finds the old ones or the new ones
        if self._inotify is not None:
            self._inotify.remove_callbacks(old)
        self._polling.watch(polled)
        if limit:
            _say_limit(limit)
        return problems

    def _ensure_open(self) -> str:
        """A running reader; else the reason why the kernel gives none."""
        if self._inotify is not None and self._inotify.is_alive():
            return ""
        if self._inotify is not None:
            log.warning("the thread that watches files had died; another one takes over")
            self._inotify.close()  # gives the dead one's descriptors back
            with self._lock:
                self._paths = {}
        try:
            self._inotify = InotifyFD()
        except OSError as error:
            self._inotify = None
            return str(error.strerror or error)
        self._inotify.start()
        return ""

    def _add(self, path: str, mask: Mask, problems: list[str]) -> tuple[WatchDescriptor | None, str]:
        """The watch, or None and, where a limit is the reason, which one."""
        if not os.access(path, os.R_OK):  # the layer below would take EACCES for a watch
            if os.path.lexists(path):
                problems.append(f"{path}: not readable")
            return None, ""
        assert self._inotify is not None
        try:
            return self._inotify.add_callback(os.fsencode(path), mask, self, self._generation), ""
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                return None, str(error.strerror)
            problems.append(f"{path}: {error.strerror or error}")
            return None, ""

    def _say_silent(self, silent: list[str]) -> None:
        if silent != self._silent:
            self._silent = silent
            if silent:
                log.info("no events come from %s: looked at every %g s", printable(", ".join(silent)), INTERVAL)

    def _tell(self, directory: str, name: str, finished: bool) -> None:
        try:
            self._changed(directory, name, finished)
        except RuntimeError:
            log.debug("too late for %s", directory)  # the loop is closed: we are on our way out

    def _polled(self, path: str) -> None:
        directory, name = os.path.split(path)
        self._tell(directory, name, True)
        self._tell(path, "", False)

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
        self._tell(path, name, finished)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        with self._lock:
            path = self._paths.pop(wd, None)
        if path is not None:
            self._tell(path, "", False)

    def on_queue_overflow(self) -> None:
        log.warning("the kernel dropped file events; everything is read again")
        self._tell("", "", False)
