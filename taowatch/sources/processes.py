"""Processes of this user: launchers, Jupyter kernels, and the end of a process. Read only when something happened."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from taowatch.core.events import Event, LauncherEnded
from taowatch.core.jobs import Launcher, execed_container, launcher_arguments
from taowatch.core.model import NOBODY, Owner
from taowatch.core.owner import Kernel

log = logging.getLogger(__name__)

_GONE = (psutil.Error, OSError)
"""What reading of a process may raise at any moment: it ended, is a zombie, is not ours, or its /proc entry raced."""
_MAX_DEPTH = 64
_TICKS = os.sysconf("SC_CLK_TCK")


_OF_INTEREST = (b"tao", b"tlt", b"docker", b"ipykernel", b"ipython", b".py")
_MOUNTS_FILES = (".tao_mounts.json", ".tlt_mounts.json")
_EDITORS = frozenset(
    ("code", "codium", "ed", "emacs", "emacsclient", "gedit", "gnome-text-editor", "hx", "jed", "joe", "kate", "kwrite")
    + ("mcedit", "micro", "mousepad", "nano", "ne", "nvim", "pico", "pluma", "sed", "subl", "vi", "vim", "vim.basic")
    + ("vim.tiny", "xed")
)


@dataclass(frozen=True)
class Seen:
    """A process of this user that may be a launcher, its child, or a kernel."""

    pid: int
    started_at: float
    argv: tuple[str, ...]


class Processes:
    """The processes of this user that work with this home, as they are at the moment of asking."""

    def __init__(self, home: Path) -> None:
        self._home = os.path.realpath(home)
        self._uid = os.getuid()

    def kernels_and_launchers(self) -> tuple[tuple[Kernel, ...], tuple[Launcher, ...]]:
        """Who may have written the file, and who may be hit by it."""
        mine = self._mine()
        kernels = tuple(writer for process in mine if (writer := _writer(process)) is not None)
        return kernels, tuple(self._launchers(mine))

    def launchers(self) -> tuple[Launcher, ...]:
        """Every launcher of this user that runs a task."""
        return tuple(self._launchers(self._mine()))

    def launcher_of(self, container: str) -> Launcher | None:
        """The launcher that runs its task in this container, or None where none of this user's does."""
        return next((launcher for launcher in self._launchers(self._mine()) if launcher.container == container), None)

    def _launchers(self, mine: Sequence[Seen]) -> Iterator[Launcher]:
        containers: dict[int, str] = {}
        for process in mine:
            container = execed_container(process.argv)
            if container is not None:
                # docker exec <- bash -c <- sh -c <- tao
                containers.update(dict.fromkeys(self._ancestors(process.pid), container))
        for process in mine:
            arguments = launcher_arguments(process.argv)
            if arguments is None:
                continue
            launcher = self._launcher(process, arguments, containers.get(process.pid))
            if launcher is not None:
                yield launcher

    def _launcher(self, process: Seen, arguments: tuple[str, ...], container: str | None) -> Launcher | None:
        cwd, environ = _cwd(process.pid), _environ(process.pid)
        if os.path.realpath(environ.get("HOME", self._home)) != self._home:
            return None  # it reads the mounts file of another home
        mounts_file = os.path.expanduser(environ.get("LAUNCHER_MOUNTS", ""))
        return Launcher(
            pid=process.pid,
            started_at=process.started_at,
            arguments=arguments,
            cwd=cwd,
            mounts_file=os.path.normpath(os.path.join(cwd or "/", mounts_file)) if mounts_file else None,
            container=container,
            owner=self._owner(process.pid, cwd),
            deliberate=environ.get("TAOWATCH_RUN") == str(process.pid),
        )

    def _owner(self, pid: int, cwd: str | None) -> Owner:
        """The notebook whose kernel started the process, else the directory in which it was started."""
        for ancestor in self._ancestors(pid):
            seen = self._read(ancestor)
            kernel = _kernel(seen) if seen is not None else None
            if kernel is not None:
                notebook = kernel.notebook or _only_notebook(kernel.cwd)
                return Owner(cwd or kernel.cwd, notebook, pid, certain=kernel.notebook is not None)
        return Owner(cwd, _only_notebook(cwd), pid) if cwd else NOBODY

    def _mine(self) -> list[Seen]:
        return [seen for pid in psutil.pids() if (seen := self._read(pid)) is not None]

    def _read(self, pid: int) -> Seen | None:
        """The process, or None where it is not of interest.

        The filter reads /proc by itself: a psutil.Process costs five times as much, and this stands between an
        overwrite and its notification. Nothing is remembered, because exec changes the arguments of a living process.
        """
        try:
            if os.stat(f"/proc/{pid}").st_uid != self._uid:
                return None
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read(65536)
            if not any(word in line for word in _OF_INTEREST):
                return None
            return Seen(pid, _started_at(pid), tuple(psutil.Process(pid).cmdline()))
        except _GONE:
            return None

    def _ancestors(self, pid: int) -> Iterator[int]:
        for _ in range(_MAX_DEPTH):
            try:
                parent = psutil.Process(pid).ppid()
            except _GONE:
                return
            if parent <= 1:
                return
            yield parent
            pid = parent


class Ends:
    """Tells when a process ends, through a pidfd: no polling."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._descriptors: dict[int, int] = {}

    def watch(self, pid: int) -> None:
        if pid in self._descriptors:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._emit(LauncherEnded(pid))
            return
        except OSError as error:  # an old kernel, or no descriptors left: the engine's events remain
            log.warning("the end of process %d cannot be watched: %s", pid, error)
            return
        self._descriptors[pid] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, pid)

    def stop(self) -> None:
        for pid in list(self._descriptors):
            self._close(pid)

    def _ended(self, pid: int) -> None:
        self._close(pid)
        self._emit(LauncherEnded(pid))

    def _close(self, pid: int) -> None:
        descriptor = self._descriptors.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


def _started_at(pid: int) -> float:
    """Seconds since the epoch, exact to a clock tick.

    psutil adds the ticks to a boot time in whole seconds; whether a file was written before or after a process started
    cannot be told from that.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS
    return time.time() - age


def _writer(process: Seen) -> Kernel | None:
    """The process as one that may write a mounts file: a kernel, `ipython`, a script, or an editor that has it open."""
    kernel = _kernel(process)
    if kernel is not None or not process.argv:
        return kernel
    program = os.path.basename(process.argv[0])
    opened = any(os.path.basename(word) in _MOUNTS_FILES for word in process.argv[1:])
    if program in _EDITORS and opened:
        return Kernel(process.pid, process.started_at, None, None, program, edits=True)
    what = _script(program, process.argv)
    return Kernel(process.pid, process.started_at, _cwd(process.pid), None, what) if what else None


def _script(program: str, argv: Sequence[str]) -> str | None:
    if program.startswith("ipython"):
        return "ipython"
    if not program.startswith("python"):
        return None
    script = next((word for word in argv[1:] if not word.startswith("-")), "")
    name = os.path.basename(script)
    if name.startswith("ipython"):
        return "ipython"
    return name if name.endswith(".py") else None


def _kernel(process: Seen) -> Kernel | None:
    if not any("ipykernel" in word for word in process.argv[:4]):
        return None
    cwd = _cwd(process.pid)
    name = _environ(process.pid).get("JPY_SESSION_NAME", "")
    return Kernel(process.pid, process.started_at, cwd, _existing_notebook(name, cwd))


def _existing_notebook(name: str, cwd: str | None) -> str | None:
    """JPY_SESSION_NAME may be absolute, relative, a UUID or stale: it counts only where the file is there."""
    for base in [cwd] if cwd else []:
        candidate = os.path.realpath(os.path.join(base, name)) if name else ""
        if candidate.endswith(".ipynb") and os.path.isfile(candidate):
            return candidate
        beside = os.path.join(base, os.path.basename(name)) if name else ""
        if beside.endswith(".ipynb") and os.path.isfile(beside):
            return os.path.realpath(beside)
    return None


def _only_notebook(directory: str | None) -> str | None:
    if directory is None:
        return None
    try:
        names = [name for name in os.listdir(directory) if name.endswith(".ipynb")]
    except OSError:
        return None
    return os.path.join(directory, names[0]) if len(names) == 1 else None


def _cwd(pid: int) -> str | None:
    try:
        path = psutil.Process(pid).cwd()
    except _GONE:
        return None
    return path if path and os.path.isdir(path) else None


def _environ(pid: int) -> Mapping[str, str]:
    try:
        return psutil.Process(pid).environ()
    except _GONE:
        return {}
