"""The composition root: one event loop in which sources queue, `step` decides and sinks act."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Protocol

from taowatch import __version__, systemd, upgrade
from taowatch.core import effects, report
from taowatch.core.consequences import wanted_files
from taowatch.core.events import ConfigRead, Event, MappingChanged, Restored, RestoreFailed, RevisionKept
from taowatch.core.state import State, step
from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.lock import Lock
from taowatch.paths import Paths, private_directory, remove_leftovers
from taowatch.restoring import restore
from taowatch.sinks import prompt, status_file
from taowatch.sinks.command import run_command
from taowatch.sinks.desktop import Desktop
from taowatch.sinks.history import History
from taowatch.sinks.kept import Kept
from taowatch.sinks.own_mounts import follow_mapping
from taowatch.sinks.protection import Protection
from taowatch.sinks.shown import Memory
from taowatch.sources import mountinfo
from taowatch.sources.configuration import read_config
from taowatch.sources.docker import DockerSource
from taowatch.sources.folders import FoldersSource
from taowatch.sources.launches import LaunchesSource
from taowatch.sources.mounts_file import MountsFileSource
from taowatch.sources.processes import Ends, Processes
from taowatch.sources.project_files import ProjectsSource

log = logging.getLogger("taowatch")

_REVISIONS_READ = 200
_MINUTE = 60.0
_THOROUGHLY = 30
"""Minutes between two looks at everything."""
_MOUNTS_SETTLE = 0.1


class Source(Protocol):
    """A part that watches a piece of the world."""

    def stop(self) -> None: ...

    def is_alive(self) -> bool: ...


class Daemon:
    """All parts and the wires between them."""

    def __init__(self, paths: Paths, environ: Mapping[str, str]) -> None:
        self._paths = paths
        self._environ = environ
        self._since = time.time()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._history = History(paths.history)
        self._kept = Kept(paths.kept)
        self._state = State(str(paths.mounts_file), str(paths.home), kept_before=self._kept.read())
        self._desktop = Desktop(environ, self._put, Memory(paths.shown))
        self._ends = Ends(self._put)
        self._processes = Processes(paths.home)
        self._mounts: dict[str, MountsFileSource] = {}
        self._projects = ProjectsSource(paths, self._put)
        self._folders = FoldersSource(self._put)
        self._launches = LaunchesSource(paths.home, environ, self._put, self._look_at_files, self._processes.launchers)
        self._docker = DockerSource(environ, self._put_from_thread, self._processes.launcher_of)
        self._protection = Protection(paths.protected)
        # One thread for all that touches the disk: in order, and a slow or hung disk holds no warning up.
        self._disk = ThreadPoolExecutor(1, "disk")
        # Another one for the user's command, which may take its time.
        self._commands = ThreadPoolExecutor(1, "command")
        self._status_due = False
        self._failing: set[str] = set()
        self._mounted: mountinfo.Changes | None = None
        self._remounting: asyncio.TimerHandle | None = None
        self._rounds = 0
        self._ready = False
        self._upgraded = False

    async def run(self) -> bool:
        """Until SIGTERM or SIGINT; True where the program was upgraded and is to start anew."""
        self._loop.set_exception_handler(_say_lost_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._queue.put_nowait, None)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._tidy()
        self._remember()
        self._put(ConfigRead(read_config(self._paths)))
        self._on_disk("the mode of the mounts file", self._protection.give_back)  # after a crash
        self._folders.start()
        self._launches.start()
        self._projects.start()
        self._watch_files(wanted_files(self._state))
        self._desktop.start()
        self._docker.start()
        self._watch_mounts()
        tending = self._loop.create_task(self._tend())
        try:
            await self._work()
        finally:
            if not self._upgraded:
                systemd.tell(self._environ, "STOPPING=1")
            tending.cancel()
            await self._stop()
        return self._upgraded

    async def _work(self) -> None:
        while (event := await self._queue.get()) is not None:
            before = self._state
            self._state, wanted = step(before, event, time.time())
            if self._state.kept != before.kept:
                self._on_disk("what was kept", partial(self._kept.write, self._state.kept))
            for effect in wanted:
                self._perform(effect)
                if isinstance(effect, effects.Notify):
                    await asyncio.sleep(0)  # the notification goes out before the rest, which nobody waits for
            if not self._ready and isinstance(event, MappingChanged):
                # Only now a client that waits for us finds the truth.
                self._ready = True
                log.info("ready: taowatch %s watches %s", __version__, self._paths.mounts_file)
                told = f"READY=1\nSTATUS=watching {self._paths.mounts_file}"
                # Behind the first snapshot, which is written in the same thread.
                self._on_disk("readiness", partial(systemd.tell, self._environ, told))

    async def _stop(self) -> None:
        for source in self._watchers():
            source.stop()
        self._ends.stop()
        await self._loop.run_in_executor(None, self._docker.stop)
        await self._desktop.stop()
        if self._remounting is not None:
            self._remounting.cancel()
        if self._mounted is not None:
            self._loop.remove_reader(self._mounted.fileno())
            self._mounted.close()
        self._on_disk("the mode of the mounts file", self._protection.give_back)
        self._disk.shutdown()
        self._commands.shutdown(wait=False, cancel_futures=True)
        # Without us they would stay for ever. The status first: where it is, no alert means that a conflict is over.
        for left in (self._paths.status, self._paths.alert):
            try:
                left.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s stays behind: %s", left, error)

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Notify(alert):
                self._desktop.show(alert)
            case effects.Withdraw(key):
                self._desktop.withdraw(key)
            case effects.ShowAtPrompt(alerts):
                self._on_disk("the alert for the shells", lambda: prompt.write_alert(self._paths, alerts))
            case effects.WriteStatus():
                if not self._status_due:
                    self._status_due = True
                    self._on_disk("the snapshot", self._write_status)
            case effects.KeepRevision():
                self._on_disk("the history", lambda: self._keep(effect))
            case effects.Restore(revision, key):
                self._on_disk("restore", lambda: self._restore(revision, key))
            case effects.WatchFiles(wanted):
                self._watch_files(wanted)
            case effects.WatchFolders(folders, held):
                self._folders.watch(folders, held)
            case effects.ReadAgain(file):
                if file in self._mounts:
                    self._mounts[file].look_again()
            case effects.FollowMapping(file, content, at):
                self._on_disk("the project's own mounts file", lambda: self._follow(file, content, at))
            case effects.Protect(files):
                self._on_disk("the mode of the mounts file", lambda: self._protection.protect(files))
            case effects.RunCommand(command, document):
                self._commands.submit(run_command, command, document, self._environ)
            case effects.WatchLauncher(pid):
                self._ends.watch(pid)
            case effects.Log(text, warning):
                log.log(logging.WARNING if warning else logging.INFO, "%s", printable(text))

    def _watchers(self) -> tuple[Source, ...]:
        return (*self._mounts.values(), self._projects, self._folders, self._launches)

    def _watch_files(self, wanted: tuple[str, ...]) -> None:
        for path in self._mounts.keys() - set(wanted):
            self._mounts.pop(path).stop()
        self._launches.watch(wanted)
        for path in wanted:
            if path not in self._mounts:
                source = MountsFileSource(path, self._paths.home, self._put, self._processes.kernels_and_launchers)
                self._mounts[path] = source
                source.start()

    def _on_disk(self, what: str, work: Callable[[], None]) -> None:
        """Work for the disk's thread. A failure is logged, once, and keeps nothing else from being done."""

        def contained() -> None:
            try:
                work()
            except Exception as error:  # a sink may fail in any way its part of the world can
                level = logging.DEBUG if what in self._failing else logging.WARNING
                self._failing.add(what)
                log.log(level, "%s could not be written: %s", what, printable(str(error)))
            else:
                if what in self._failing:
                    self._failing.discard(what)
                    log.info("%s can be written again", what)

        self._disk.submit(contained)

    def _write_status(self) -> None:
        self._status_due = False  # first, so that what changes from here on is written again
        status_file.write_status(self._paths, report.document(self._state, self._about()))

    def _keep(self, effect: effects.KeepRevision) -> None:
        self._put_from_thread(RevisionKept(self._history.add(effect)))

    def _follow(self, file: str, content: bytes, written_at: float) -> None:
        if follow_mapping(Path(file), content, written_at):
            log.info("%s follows the common mounts file", file)

    def _restore(self, revision: int, key: str) -> None:
        try:
            restored = restore(self._history, revision, self._paths.home, by="taowatch (Restore button or on_conflict)")
        except (OSError, TaowatchError) as error:
            self._put_from_thread(RestoreFailed(key, printable(str(error))))
            return
        self._put_from_thread(RevisionKept(restored))
        self._from_thread(partial(self._restored, restored.path))

    def _restored(self, path: str) -> None:
        # First what stands there by now: another notebook may have written again already.
        if path in self._mounts:
            self._mounts[path].look_again()
        self._put(Restored(path))

    def _remember(self) -> None:
        for revision in self._history.revisions(_REVISIONS_READ):
            self._put(RevisionKept(revision))

    def _reload(self) -> None:
        systemd.tell(self._environ, f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._put(ConfigRead(read_config(self._paths)))
        except TaowatchError as error:  # a service that runs is not ended by a slip of the pen
            log.warning("the configuration stays as it was: %s", printable(str(error)))
        self._reconcile(thoroughly=True)
        self._docker.retry_now()
        systemd.tell(self._environ, "READY=1")

    def _about(self) -> dict[str, object]:
        return {
            "running": True,
            "pid": os.getpid(),
            "since": report.iso(self._since),
            "taowatch": __version__,
            "engine": self._docker.where,
        }

    async def _tend(self) -> None:
        """Once a minute look whether all is as the events say. And tell the service manager that all is well, only
        while it is: loop, watcher and threads."""
        interval = min(_MINUTE, systemd.watchdog_interval(self._environ) or _MINUTE)
        last = time.monotonic()
        while True:
            await asyncio.sleep(interval)
            if time.monotonic() - last > _MINUTE - 1:
                last = time.monotonic()
                self._reconcile()
            if all(source.is_alive() for source in (*self._watchers(), self._docker)):
                systemd.tell(self._environ, "WATCHDOG=1")

    def _reconcile(self, thoroughly: bool = False) -> None:
        """Events are hints: some are lost (an overflow, a suspend, a hung engine), and file systems come and go."""
        try:
            self._rounds += 1
            self._look_again(thoroughly or self._rounds % _THOROUGHLY == 0)
            self._docker.check()
            self._desktop.settle()
            installed = upgrade.installed_version()
            if installed not in (None, __version__):
                log.info("taowatch is now version %s: starting anew", installed)
                self._upgraded = True
                self._queue.put_nowait(None)
        except Exception as error:  # a home that is gone in the middle of it; the next minute looks again
            log.warning("could not look again: %s", printable(str(error)))

    def _look_at_files(self) -> None:
        for source in self._mounts.values():
            source.look_again()

    def _look_again(self, thoroughly: bool) -> None:
        """Each look also brings a dead watcher back. A thousand projects are not read each minute."""
        self._look_at_files()
        self._folders.look_again()
        if thoroughly or not self._projects.is_alive():
            self._projects.look_again()
        if not self._launches.is_alive():
            self._launches.watch(self._mounts)

    def _watch_mounts(self) -> None:
        try:
            self._mounted = mountinfo.Changes()
        except OSError as error:
            log.debug("mounts are looked at once a minute: %s", error)
            return
        self._loop.add_reader(self._mounted.fileno(), self._mounts_changed)

    def _mounts_changed(self) -> None:
        if self._mounted is not None:
            self._mounted.take()
        if self._remounting is None:  # a container that starts mounts several things
            self._remounting = self._loop.call_later(_MOUNTS_SETTLE, self._look_after_mounts)

    def _look_after_mounts(self) -> None:
        self._remounting = None
        changed = self._mounted.where() if self._mounted is not None else set()
        try:
            # Every container of every user mounts something; of concern is what lies over our own places.
            if any(mountinfo.is_under(place, changed) for place in self._places()):
                self._look_again(thoroughly=True)
        except OSError as error:  # it may be gone again already, which is another change
            log.debug("%s", error)

    def _places(self) -> set[str]:
        places = {os.path.realpath(self._paths.home), *map(os.path.realpath, self._mounts)}
        places.update(project.directory for project in self._state.projects)
        places.update(source for job in self._state.jobs for _, source in job.holds)
        return places

    def _tidy(self) -> None:
        for directory in (self._paths.runtime, self._paths.history):
            remove_leftovers(directory)
        real = Path(os.path.realpath(self._paths.mounts_file))
        remove_leftovers(real.parent, f".{real.name}.")

    def _put(self, event: Event) -> None:
        self._queue.put_nowait(event)

    def _put_from_thread(self, event: Event) -> None:
        self._from_thread(partial(self._put, event))

    def _from_thread(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            log.debug("too late for %r", call)  # the loop is closed: we are on our way out


def run(paths: Paths, environ: Mapping[str, str]) -> None:
    """Run the daemon in the foreground. Raises TaowatchError where one runs already or the configuration is wrong."""
    lock = Lock(paths.lock)
    lock.take()
    read_config(paths)
    _start_log(paths)
    threading.excepthook = _say_dead_thread
    if asyncio.run(_run(paths, environ)):
        upgrade.start_anew()


async def _run(paths: Paths, environ: Mapping[str, str]) -> bool:
    return await Daemon(paths, environ).run()


def _say_lost_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    # What nobody waits for any more, such as a call on a bus that is gone.
    error = context.get("exception")
    log.warning("%s: %s", context.get("message"), printable(f"{type(error).__name__}: {error}"))


def _say_dead_thread(what: threading.ExceptHookArgs) -> None:
    name = what.thread.name if what.thread else "a thread"
    log.error("%s died: %s: %s", name, what.exc_type.__name__, printable(str(what.exc_value)))


def _start_log(paths: Paths) -> None:
    logging.raiseExceptions = False  # a full disk would put a traceback to stderr for each line
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    problem = None
    try:
        private_directory(paths.state)
        handlers.append(RotatingFileHandler(paths.log, maxBytes=500_000, backupCount=1, delay=False))
        paths.log.chmod(0o600)
    except (OSError, TaowatchError) as error:  # a full or read-only disk: the service goes on without its file
        problem = error
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers, force=True
    )
    logging.getLogger("watchdog").setLevel(logging.WARNING)
    if problem is not None:
        log.warning("no log file: %s", problem)
