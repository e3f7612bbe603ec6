"""Killed at any instant, two hundred times: what was on disk stays whole, and what was shown is known."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taowatch.sinks.history import History
from tests.faults.conftest import Scene
from tests.support.desktop import NotificationServer
from tests.support.engine import Engine
from tests.support.waiting import wait_until

TIMES = 200
LONGEST_LIFE = 0.25


class Zygote:
    """Starts daemons cheaply, one at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            env=environment,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def kill(self, pid: int) -> None:
        assert self.process.stdout
        os.kill(pid, signal.SIGKILL)
        assert self.process.stdout.readline() == "ended\n"

    def stop(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@contextmanager
def rewriting(scene: Scene) -> Iterator[None]:
    """Somebody who rewrites the file all the time, with ever new contents."""
    over = threading.Event()

    def rewrite() -> None:
        number = 0
        while not over.wait(0.04):
            number += 1
            scene.file.write_text(scene.text(random.choice(["two", "three"])) + "\n" * (number % 500))

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def kept(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("*.json")}


def test_two_hundred_deaths(
    scene: Scene,
    notifications: NotificationServer,
    docker_engine: Engine,
    other_container: Callable[..., str],
) -> None:
    scene.start()
    scene.hold(docker_engine, other_container)
    scene.daemon.stop()
    history = next((scene.home / ".local/state/taowatch/history").iterdir())
    zygote, chance, deaths = Zygote(scene.environment), random.Random(7), 0
    before = kept(history)
    with rewriting(scene):
        for _ in range(TIMES):
            pid = zygote.ask()
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            zygote.kill(pid)
            deaths += 1
            after = kept(history)
            assert {name: after.get(name) for name in before} == before, "a revision that was on disk was lost"
            before = after
    zygote.stop()
    assert deaths == TIMES
    assert len(before) > TIMES // 2, "the daemons lived long enough to work"
    for name, content in before.items():
        assert json.loads(content)["number"] == int(name[:-5])
    assert not list(history.glob("*.damaged"))

    scene.write("two")
    scene.start()
    scene.until_conflict("two")
    wait_until(lambda: scene.daemon.snapshot()["daemon"]["notifications"] == "desktop", 10, "the desktop")
    assert len(History(history).revisions()) >= len(before)
    leftovers = [
        path
        for top in (history, scene.home, Path(scene.environment["XDG_RUNTIME_DIR"]) / "taowatch")
        for path in top.glob(".*tmp")
    ]
    assert leftovers == []
    # Killed between showing and noting it down, one may be shown again; more would be a habit.
    wait_until(lambda: notifications.open, 5, "the notification")
    assert len([call for call in notifications.calls if call.replaces_id == 0]) <= 3, notifications.calls
