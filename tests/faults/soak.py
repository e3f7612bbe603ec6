"""`python -m tests.faults.soak SECONDS [SEED]`: random notebooks, jobs and faults; does the daemon know the world then?

What it says is compared with a fresh look at everything, and its memory with what it was at the beginning.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taowatch.commands.looking import look_once
from taowatch.core import report
from taowatch.paths import Paths
from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer, SessionBus
from tests.support.engine import PrivateEngine
from tests.support.sandbox import Sandbox, kept_environment
from tests.support.waiting import TooLate, wait_until

DESTINATION = "/workspace/tao-experiments"
PROJECTS = ("detectnet_v2", "yolo_v4", "dino", "lprnet")
MOST_JOBS = 4
GROWTH = 20 * 1024
"""KiB that the daemon may grow from its first minute on."""


class Soak:
    """A user's machine on which anything may happen at any time."""

    def __init__(self, directory: Path, stack: ExitStack, seed: int) -> None:
        self.chance = random.Random(seed)
        sandbox = Sandbox(directory / "home", directory / "run").make()
        self.home, self.file = sandbox.home, sandbox.home / ".tao_mounts.json"
        self.engine = PrivateEngine()
        stack.callback(self.engine.remove)
        self.engine.start()
        self.bus = SessionBus(sandbox.runtime / "bus")
        self.bus.start()
        stack.callback(self.bus.stop)
        self.server = NotificationServer(self.bus.address)
        self.server.start()
        stack.callback(self.server.stop)
        self.environment = {
            **kept_environment(os.environ),
            **sandbox.variables,
            "DBUS_SESSION_BUS_ADDRESS": self.bus.address,
            "DOCKER_HOST": self.engine.host,
        }
        self.daemon = Daemon(self.environment).start()
        stack.callback(lambda: self.daemon.stop())
        self.jobs: list[str] = []
        self.did: Counter[str] = Counter()

    def go_on(self, seconds: float) -> None:
        """One thing after another; what one may do most of the time comes most often."""
        usual = [
            self.notebook,
            self.notebook,
            self.notebook,
            self.start_job,
            self.start_job,
            self.end_job,
            self.restore,
        ]
        faults = [self.half_written, self.delete, self.garbage, self.burst, self.move_away, self.nothing]
        rare = [
            self.kill,
            self.restart_bus,
            self.restart_server,
            self.restart_engine,
            self.hang_engine,
            self.full_queue,
        ]
        actions: list[Callable[[], None]] = usual * 6 + faults * 3 + rare
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            action = self.chance.choice(actions)
            self.did[action.__name__] += 1
            action()
            time.sleep(self.chance.choice((0, 0, 0.01, 0.1, 0.5)))

    # what people do

    def notebook(self) -> None:
        text = self._text(self.chance.choice(PROJECTS))
        if self.chance.random() < 0.5:
            self.file.write_text(text)
            return
        other = self.home / "other"
        other.write_text(text)
        os.replace(other, self.file)

    def start_job(self) -> None:
        if len(self.jobs) >= MOST_JOBS or not self.file.exists():
            return
        try:
            mounts = json.loads(self.file.read_text())["Mounts"]
        except (ValueError, KeyError, TypeError):
            return
        binds: dict[Path | str, str] = {mount["source"]: mount["destination"] for mount in mounts}
        self.jobs.append(self.engine.run(binds=binds))

    def end_job(self) -> None:
        if self.jobs:
            self.engine.remove_container(self.jobs.pop(self.chance.randrange(len(self.jobs))))

    def restore(self) -> None:
        self.daemon.command("restore")

    # what goes wrong

    def nothing(self) -> None:
        self.file.write_text("")

    def half_written(self) -> None:
        text = self._text("dino")
        with self.file.open("w") as file:
            file.write(text[:10])
            file.flush()
            time.sleep(self.chance.uniform(0, 0.5))
            file.write(text[10:])

    def delete(self) -> None:
        self.file.unlink(missing_ok=True)

    def garbage(self) -> None:
        self.file.write_bytes(self.chance.randbytes(self.chance.randrange(2000)))

    def burst(self) -> None:
        for _ in range(500):
            self.file.write_text(self._text(self.chance.choice(PROJECTS)))

    def move_away(self) -> None:
        if self.file.exists():
            os.replace(self.file, self.home / "moved")
            os.replace(self.home / "moved", self.file)

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def restart_bus(self) -> None:
        self.server.stop()
        self.bus.restart()
        self.server.start()

    def restart_server(self) -> None:
        self.server.restart()

    def restart_engine(self) -> None:
        for container in self.jobs:
            self.engine.remove_container(container)
        self.jobs.clear()
        self.engine.stop(self.chance.choice((signal.SIGTERM, signal.SIGKILL)))
        self.engine.start()

    def hang_engine(self) -> None:
        assert self.engine.process
        os.kill(self.engine.process.pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0, 3))
        os.kill(self.engine.process.pid, signal.SIGCONT)

    def full_queue(self) -> None:
        os.kill(self.daemon.pid, signal.SIGSTOP)
        for number in range(9000):
            (self.home / f"file-{number}").touch()
        self.notebook()
        os.kill(self.daemon.pid, signal.SIGCONT)
        for path in self.home.glob("file-*"):
            path.unlink()

    # and what is to come of it

    def verify(self) -> None:
        """The daemon's picture is the world's, within the minute in which lost events are found."""
        try:
            wait_until(lambda: seen(self.daemon.snapshot()) == self.world(), 75, pause=0.5)
        except TooLate:
            print(f"daemon: {seen(self.daemon.snapshot())}\nworld:  {self.world()}\n{self.daemon.log[-4000:]}")
            raise
        assert "Traceback (most recent call last)" not in self.daemon.log
        shown = len(self.server.open)
        alerts = len(self.daemon.snapshot()["alerts"])
        wait_until(lambda: len(self.server.open) == alerts, 75, f"{alerts} notifications, and there are {shown}")

    def world(self) -> dict[str, Any]:
        state = look_once(Paths.of(self.environment), self.environment, time.time())
        document = report.document(state, {"running": False, "pid": None, "since": None})
        return seen(document)

    def memory(self) -> int:
        lines = Path(f"/proc/{self.daemon.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    def _text(self, name: str) -> str:
        project = self.home / "tao" / name
        project.mkdir(parents=True, exist_ok=True)
        return json.dumps({"Mounts": [{"source": str(project), "destination": DESTINATION}]})


def seen(document: dict[str, Any]) -> dict[str, Any]:
    """What of a status must agree, whoever looked."""
    file = document["mounts_file"]
    keys = ("kind", "job", "destination", "expected", "actual")
    return {
        "file": {key: file[key] for key in ("state", "error", "mounts", "revision")},
        "jobs": sorted((job["id"], job["state"], str(job["mounts"])) for job in document["jobs"]),
        "conflicts": sorted(tuple(str(conflict[key]) for key in keys) for conflict in document["conflicts"]),
    }


def main(seconds: float, seed: int) -> None:
    print(f"{seconds:g} seconds of anything, seed {seed}", flush=True)
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="tw-soak-"))
        stack.callback(shutil.rmtree, directory, True)
        soak = Soak(directory, stack, seed)
        until, memory = time.monotonic() + seconds, 0
        while (left := until - time.monotonic()) > 0:
            soak.go_on(min(left, 60))
            soak.verify()
            now = soak.memory()
            memory = memory or now
            print(f"as it should be; {now / 1024:.1f} MB; {dict(soak.did.most_common())}", flush=True)
            assert now < memory + GROWTH, f"it grew from {memory} to {now} KiB"


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("the soak starts an engine of its own and needs root")
    arguments = sys.argv[1:]
    main(
        float(arguments[0]) if arguments else 3600, int(arguments[1]) if len(arguments) > 1 else random.randrange(10**6)
    )
