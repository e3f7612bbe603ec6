"""The daemon's budgets: idle, memory, many projects, files unpacked under it, bursts, and how fast `status` answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

from benchmarks.measure import median, milliseconds, percentile, table, verdict
from taowatch.commands.project import init
from taowatch.paths import Paths
from tests.support.components import DOCKER_SOCKET, answers, launcher_venv
from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer, SessionBus
from tests.support.engine import Engine, shared_engine
from tests.support.sandbox import Sandbox, kept_environment
from tests.support.waiting import wait_until

IDLE_SECONDS = float(os.environ.get("TAOWATCH_BENCH_IDLE", "60"))
FILES = int(os.environ.get("TAOWATCH_BENCH_FILES", "100000"))
REWRITES = 10_000
OVERWRITES = int(os.environ.get("TAOWATCH_BENCH_OVERWRITES", "100"))
REST = 0.35
"""Seconds after which the desktop is not paced any more."""
TICK = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1024
Row = tuple[str, str, str, str]


class Stage:
    """A scratch home with a session bus and a notification server, and a daemon in it on demand."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.sandbox = Sandbox(directory / "home", directory / "run").make()
        bus = SessionBus(self.sandbox.runtime / "bus")
        bus.start()
        stack.callback(bus.stop)
        self.server = NotificationServer(bus.address)
        self.server.start()
        stack.callback(self.server.stop)
        self.environment = {
            **kept_environment(os.environ),
            **self.sandbox.variables,
            "DBUS_SESSION_BUS_ADDRESS": bus.address,
        }
        self.file = self.sandbox.home / ".tao_mounts.json"

    def project(self, name: str) -> Path:
        directory = self.sandbox.home / "tao" / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def text(self, name: str) -> str:
        return json.dumps({"Mounts": [{"source": str(self.project(name)), "destination": "/workspace"}]})

    def allow(self, number: int) -> None:
        paths = Paths.of(self.environment)
        for each in range(number):
            directory = self.project(f"project-{each:04d}")
            if not (directory / ".taowatch.toml").exists():
                init(paths, directory, "local")

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """Ready, and with Docker and the desktop connected."""
        daemon = Daemon(self.environment)
        daemon.start()
        try:
            wait_until(lambda: connected(daemon), 20, lambda: str(daemon.snapshot()))
            yield daemon
        finally:
            daemon.stop(30)


def connected(daemon: Daemon) -> bool:
    found = daemon.snapshot()["daemon"]
    return bool(found["notifications"] == "desktop" and (found["docker"] == "connected" or not answers(DOCKER_SOCKET)))


def main() -> None:
    rows: list[Row] = []
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="tw-bench-"))
        stack.callback(shutil.rmtree, directory, True)
        engine = stack.enter_context(shared_engine())
        for measure in chosen():
            with ExitStack() as inner:
                place = directory / measure.__name__
                place.mkdir()
                rows += measure(Stage(place, inner), engine)
    print(table(("what", "measured", "budget", ""), rows))


def chosen() -> list[Callable[[Stage, Engine], list[Row]]]:
    """All, or those that TAOWATCH_BENCH_ONLY names."""
    every = (idle, projects, unpacking, latency, burst, status)
    names = os.environ.get("TAOWATCH_BENCH_ONLY", "").split()
    return [measure for measure in every if not names or measure.__name__ in names]


def idle(stage: Stage, engine: Engine) -> list[Row]:
    stage.file.write_text(stage.text("one"))
    with stage.daemon() as daemon:
        time.sleep(3)  # what a start leaves to be done is done
        wakes, cpu = wake_ups(daemon.pid), cpu_seconds(daemon.pid)
        time.sleep(IDLE_SECONDS)
        woke = (wake_ups(daemon.pid) - wakes) * 10 / IDLE_SECONDS
        used = cpu_seconds(daemon.pid) - cpu
        memory = pss(daemon.pid) / MEGABYTE
    return [
        ("idle: wake-ups in 10 s", f"{woke:.2f}", "1", verdict(woke, 1)),
        (f"idle: CPU in {IDLE_SECONDS:g} s", f"{used * 1000:.0f} ms", "10 ms (one tick)", verdict(used, 1 / TICK)),
        ("memory (PSS), Docker and D-Bus connected", f"{memory:.1f} MB", "40 MB", verdict(memory, 40)),
    ]


def projects(stage: Stage, engine: Engine) -> list[Row]:
    rows: list[Row] = []
    base = 0.0
    for number in (1, 100, 1000):
        stage.allow(number)
        with stage.daemon() as daemon:
            wait_until(lambda: len(daemon.snapshot()["projects"]) == number, 30)  # noqa: B023
            memory, threads, watches = pss(daemon.pid) / MEGABYTE, len(tasks(daemon.pid)), inotify_watches(daemon.pid)
        base = base or memory
        within = memory <= base + 10 and threads <= 16
        rows.append(
            (
                f"{number} project{'s' * (number > 1)}",
                f"{memory:.1f} MB, {threads} threads, {watches} watches",
                f"{base + 10:.1f} MB, 16 threads",
                "met" if within else "NOT MET",
            )
        )
    return rows


def unpacking(stage: Stage, engine: Engine) -> list[Row]:
    stage.allow(1)
    data = stage.project("project-0000") / "data"
    data.mkdir(exist_ok=True)
    stage.file.write_text(stage.text("project-0000"))
    archive = data.parent / "data.tar"
    write_archive(archive)
    with stage.daemon() as daemon:
        before = cpu_seconds(daemon.pid)
        used = os.times()
        subprocess.run(["tar", "-xf", archive, "-C", data], check=True)
        now = os.times()
        theirs = now.children_user + now.children_system - used.children_user - used.children_system
        time.sleep(1)
        ours = cpu_seconds(daemon.pid) - before
    share = ours / theirs
    text = f"{share:.2%} ({ours * 1000:.0f} ms of {theirs:.1f} s)"
    return [(f"{FILES} files unpacked into the data: CPU", text, "1 %", verdict(share, 0.01))]


def burst(stage: Stage, engine: Engine) -> list[Row]:
    stage.file.write_text(stage.text("one"))
    texts = [stage.text("two"), stage.text("three")]
    with stage.daemon() as daemon:
        wait_until(lambda: daemon.snapshot()["mounts_file"]["revision"], 5)
        container = engine.run(binds={stage.project("one"): "/workspace"})
        try:
            wait_until(lambda: daemon.snapshot()["jobs"], 10)
            before, memory = cpu_seconds(daemon.pid), pss(daemon.pid)
            began = time.monotonic()
            for number in range(REWRITES):
                stage.file.write_text(texts[number % 2])
            stage.file.write_text(stage.text("last"))
            written = time.monotonic()
            wait_until(lambda: any("/last," in n.body for n in list(stage.server.open.values())), 30)
            late = time.monotonic() - written
            ours = cpu_seconds(daemon.pid) - before
            grown = (pss(daemon.pid) - memory) / MEGABYTE
        finally:
            engine.remove_container(container)
        shown = len([call for call in stage.server.calls if not call.replaces_id])
        updates = len(stage.server.calls) - shown
    text = f"{shown} notification, {updates} updates in {written - began:.1f} s; the last state after {late:.1f} s"
    return [(f"{REWRITES} rewrites", f"{text}, {ours:.1f} s CPU, {grown:+.1f} MB", "1 notification", verdict(shown, 1))]


def latency(stage: Stage, engine: Engine) -> list[Row]:
    """From the end of the write to the arrival at the notification server, each time from rest."""
    stage.file.write_text(stage.text("one"))
    late = []
    with stage.daemon() as daemon:
        wait_until(lambda: daemon.snapshot()["mounts_file"]["revision"], 5)
        container = engine.run(binds={stage.project("one"): "/workspace"})
        try:
            wait_until(lambda: daemon.snapshot()["jobs"], 10)
            for _ in range(OVERWRITES):
                before = len(stage.server.calls)
                stage.file.write_text(stage.text("two"))
                written = time.monotonic_ns()
                wait_until(lambda: len(stage.server.calls) > before, 10)  # noqa: B023
                late.append((stage.server.calls[before].at - written) / 1e9)
                stage.file.write_text(stage.text("one"))
                wait_until(lambda: not stage.server.open, 10)
                time.sleep(REST)
        finally:
            engine.remove_container(container)
    middle, worst = median(late), percentile(late, 0.99)
    within = middle <= 0.010 and worst <= 0.050
    told = f"median {milliseconds(middle)}, p99 {milliseconds(worst)} of {OVERWRITES}"
    return [("overwrite to notification", told, "10 ms, 50 ms", "met" if within else "NOT MET")]


def status(stage: Stage, engine: Engine) -> list[Row]:
    bare = [sys.executable, "-c", "pass"]
    ours = [str(Path(sys.executable).with_name("taowatch")), "status"]
    with stage.daemon():
        contestants: dict[str, list[str]] = {"bare": bare, "status": ours}
        tao = launcher_venv() / "bin/tao"
        if tao.exists():
            login = stage.sandbox.home / ".docker/config.json"
            login.parent.mkdir(exist_ok=True)
            login.write_text('{"auths": {"nvcr.io": {}}}')
            contestants["tao"] = [str(tao), "list"]
        times = alternately(lambda name: duration(contestants[name], stage.environment), list(contestants))
    ratio = times["status"] / times["bare"]
    told = f"{milliseconds(times['status'])} = {ratio:.1f} starts of {milliseconds(times['bare'])}"
    rows: list[Row] = [("`taowatch status` in bare Python starts", told, "8", verdict(ratio, 8))]
    if "tao" in times:
        share = times["status"] / times["tao"]
        told = f"{share:.2f} of {milliseconds(times['tao'])}"
        rows.append(("`taowatch status` beside `tao list`", told, "0.25", verdict(share, 0.25)))
    return rows


def alternately(measure: Callable[[str], float], names: list[str], rounds: int = 15) -> dict[str, float]:
    """Medians of measurements in turn, so that a busy moment of the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[name].append(measure(name))
    return {name: median(values) for name, values in times.items()}


def duration(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - began


def write_archive(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(FILES):
            entry = tarfile.TarInfo(f"images/{number // 1000:03d}/{number:06d}.txt")
            entry.size = 100
            archive.addfile(entry, BytesIO(b"x" * 100))


def tasks(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")


def wake_ups(pid: int) -> int:
    """How often any of its threads gave the processor back, which it does once for each wake-up."""
    total = 0
    for task in tasks(pid):
        lines = Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def cpu_seconds(pid: int) -> float:
    """User and system time, exact to a nanosecond where the kernel keeps it so."""
    total = 0
    for task in tasks(pid):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def inotify_watches(pid: int) -> int:
    return sum(path.read_text().count("inotify wd:") for path in Path(f"/proc/{pid}/fdinfo").iterdir() if path.exists())
