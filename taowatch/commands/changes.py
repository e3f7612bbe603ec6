"""A plan as data: what would be changed, shown before and done after. Nothing here decides anything."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.lock import holder, is_held
from taowatch.paths import write_atomically

_PATIENCE = 90.0
"""Seconds for a service that starts or stops."""


@dataclass(frozen=True)
class FileChange:
    """A file's text before and after; None where there is no file."""

    path: Path
    before: str | None
    after: str | None
    removes: Path | None = None
    """Directories left empty are removed upwards, up to this one, which stays."""


@dataclass(frozen=True)
class Run:
    """A program to run."""

    command: tuple[str, ...]
    may_fail: bool = False


@dataclass(frozen=True)
class Start:
    """Start the daemon, detached from this terminal."""

    command: tuple[str, ...]
    lock: Path


@dataclass(frozen=True)
class Stop:
    """End the daemon that holds this lock, where one does."""

    lock: Path


@dataclass(frozen=True)
class RemoveTree:
    """Remove a directory of ours with all that is in it."""

    path: Path


Step = FileChange | Run | Start | Stop | RemoveTree


@dataclass(frozen=True)
class Plan:
    """Steps in their order, and what else a person should know."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


def describe(plan: Plan) -> str:
    """Exactly what `carry_out` would do."""
    return "\n".join(_description(step) for step in plan.steps)


def carry_out(plan: Plan, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """Do it; returns what did not work. One failure keeps nothing else from being done."""
    problems = []
    for step in plan.steps:
        try:
            _do(step)
        except OSError as error:
            problems.append(f"{error.filename or _summary(step)}: {error.strerror or error}")
        except (subprocess.SubprocessError, TaowatchError) as error:
            problems.append(str(error))
        else:
            tell(_summary(step))
    return problems


def read_text(path: Path) -> str | None:
    """A text file byte for byte (whatever its encoding), or None where there is none."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _description(step: Step) -> str:
    if not isinstance(step, FileChange):
        return _summary(step)
    before, after = ((text or "").splitlines() for text in (step.before, step.after))
    names = (
        str(step.path) if step.before is not None else "/dev/null",
        str(step.path) if step.after is not None else "/dev/null",
    )
    lines = difflib.unified_diff(list(before), list(after), *names, lineterm="")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def _summary(step: Step) -> str:
    match step:
        case FileChange(path, before, after):
            verb = "remove" if after is None else "write" if before is None else "change"
            return printable(f"{verb} {path}")
        case Run(command):
            return f"run {printable(shlex.join(command))}"
        case Start(command):
            return f"start {printable(shlex.join(command))}"
        case Stop(lock):
            return f"stop the daemon (pid {holder(lock) or 'unknown'})"
        case RemoveTree(path):
            return printable(f"remove {path}/ and all that is in it")


def _do(step: Step) -> None:
    match step:
        case FileChange(path, _, after, top):
            _write(path, after, top)
        case Run(command, may_fail):
            _run(command, may_fail)
        case Start(command, lock):
            _start(command, lock)
        case Stop(lock):
            _stop(lock)
        case RemoveTree(path):
            shutil.rmtree(path)


def _write(path: Path, text: str | None, top: Path | None) -> None:
    target = Path(os.path.realpath(path))  # a file that a dotfile manager links stays a link
    if text is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        write_atomically(target, text.encode("utf-8", "surrogateescape"), mode)
        return
    path.unlink(missing_ok=True)
    if top is None:
        return
    for directory in path.parents:
        if directory == top or not directory.is_relative_to(top) or any(directory.iterdir()):
            return
        directory.rmdir()


def _run(command: Sequence[str], may_fail: bool) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode and not may_fail:
        said = printable((done.stderr or done.stdout).strip().replace("\n", " "))[:300]
        raise TaowatchError(
            f"`{shlex.join(command)}` failed: {said}", "`taowatch logs` and `taowatch doctor` tell more"
        )


def _start(command: Sequence[str], lock: Path) -> None:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    _wait(lambda: is_held(lock) or process.poll() is not None)
    if not is_held(lock):
        raise TaowatchError("the daemon did not start", f"`{shlex.join(command)}` shows why")


def _stop(lock: Path) -> None:
    pid = holder(lock)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    _wait(lambda: not is_held(lock))
    if is_held(lock):
        raise TaowatchError(f"the daemon (pid {pid}) does not end", f"kill -9 {pid}")


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE / 3
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
