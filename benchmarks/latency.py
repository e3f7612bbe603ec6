"""From close() of the overwriting write to the Notify call on a real bus, beside the floor: inotify and one call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import median, milliseconds, percentile, table, verdict
from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer, SessionBus
from tests.support.waiting import wait_until

ROUNDS = 200
QUIET = 0.35
"""Seconds between two overwrites. Changes on the desktop are paced, so that a burst shows its last state."""
MEDIAN_BUDGET, P99_BUDGET = 0.010, 0.050

FLOOR = """
import asyncio, ctypes, os, sys
from dbus_fast import Message
from dbus_fast.aio import MessageBus

async def main(file, address):
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    libc.inotify_add_watch(descriptor, os.fsencode(os.path.dirname(file)), 8)  # IN_CLOSE_WRITE
    bus = await MessageBus(bus_address=address).connect()
    changed = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, changed.set)
    name, path = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
    print("ready", flush=True)
    while True:
        await changed.wait()
        changed.clear()
        try:
            os.read(descriptor, 65536)
        except BlockingIOError:
            continue
        body = ["floor", 0, "", "summary", "body", [], {}, -1]
        await bus.call(Message(name, path, name, "Notify", signature="susssasa{sv}i", body=body))

asyncio.run(main(*sys.argv[1:]))
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="taowatch-latency-") as scratch:
        home = Path(scratch).resolve()
        bus = SessionBus(home / "bus")
        bus.start()
        server = NotificationServer(bus.address)
        server.start()
        try:
            floor = _floor(home, bus, server)
            server.open.clear()
            ours = _taowatch(home, bus, server)
        finally:
            server.stop()
            bus.stop()
    print(f"{ROUNDS} overwrites of the mounts file while a job is alive, to the Notify call on the bus:\n")
    rows = [
        ("median", *_row(median(floor), median(ours), MEDIAN_BUDGET)),
        ("p99", *_row(percentile(floor, 0.99), percentile(ours, 0.99), P99_BUDGET)),
    ]
    print(table(("", "floor", "taowatch", "ratio", "budget", ""), rows))


def _row(floor: float, ours: float, budget: float) -> tuple[str, str, str, str, str]:
    ratio = f"{ours / floor:.1f}"
    return milliseconds(floor), milliseconds(ours), ratio, milliseconds(budget), verdict(ours, budget)


def _floor(home: Path, bus: SessionBus, server: NotificationServer) -> list[float]:
    file = home / "floor/file"
    file.parent.mkdir()
    child = subprocess.Popen([sys.executable, "-c", FLOOR, str(file), bus.address], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        return [_time(file, f"{number}", server) for number in range(ROUNDS)]
    finally:
        child.kill()
        child.communicate()


def _taowatch(home: Path, bus: SessionBus, server: NotificationServer) -> list[float]:
    file = home / ".tao_mounts.json"
    a, b = (_mapping(home / name) for name in ("a", "b"))
    file.write_text(a)
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "DBUS_SESSION_BUS_ADDRESS": bus.address,
        "DOCKER_HOST": f"unix://{home}/no-engine.sock",
    }
    with _job(home / "a", environment):
        daemon = Daemon(environment).start()
        try:
            wait_until(lambda: daemon.snapshot()["daemon"]["notifications"] == "desktop", 10, "the desktop")
            return [_overwrite(file, a, b, server, daemon) for _ in range(ROUNDS)]
        finally:
            daemon.stop()


def _overwrite(file: Path, a: str, b: str, server: NotificationServer, daemon: Daemon) -> float:
    taken = _time(file, b, server)
    file.write_text(a)
    wait_until(lambda: not server.open, 10, lambda: daemon.log, pause=0.001)
    time.sleep(QUIET)
    return taken


def _time(file: Path, content: str, server: NotificationServer) -> float:
    calls = len(server.calls)
    with open(file, "w") as opened:
        opened.write(content)
    closed = time.monotonic_ns()
    _until(lambda: len(server.calls) > calls)
    return max(0, server.calls[calls].at - closed) / 1e9


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "no notification came"
        time.sleep(0.001)


def _mapping(directory: Path) -> str:
    (directory / "specs").mkdir(parents=True)
    mounts = {str(directory): "/workspace/tao-experiments", str(directory / "specs"): "/workspace/specs"}
    return json.dumps({"Mounts": [{"source": s, "destination": d} for s, d in mounts.items()]})


@contextmanager
def _job(directory: Path, environment: dict[str, str]) -> Iterator[None]:
    """A process that looks like a launcher, which is all that is asked where there is no engine."""
    program = directory / "tao"
    program.write_text("import time; time.sleep(100000)")
    words: Sequence[str] = [sys.executable, str(program), "model", "dino", "train"]
    child = subprocess.Popen(words, cwd=directory, env=environment)
    try:
        yield
    finally:
        child.kill()
        child.wait()
