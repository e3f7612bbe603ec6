"""Lost events, clocks that jump, a machine that slept, several daemons at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from taowatch import daemon
from taowatch.paths import Paths
from taowatch.sources.directories import Directories
from tests.faults.conftest import Scene
from tests.support.engine import Engine
from tests.support.waiting import wait_until


def test_what_no_event_told_is_found_within_the_minute(
    environment: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After a sleep or a change of the clock there may be no event at all; the round of each minute asks no clock.
    monkeypatch.setattr(daemon, "_MINUTE", 0.2)
    monkeypatch.setattr(Directories, "watch", lambda *_, **__: [])
    environment["DOCKER_HOST"] = "unix:///nonexistent"
    paths = Paths.of(environment)
    file = home / ".tao_mounts.json"

    async def play() -> None:
        running = daemon.Daemon(paths, environment)
        task = asyncio.get_running_loop().create_task(running.run())
        await until(lambda: running._ready)
        file.write_text('{"Mounts": []}')
        await until(lambda: (found := running._state.files.get(str(file))) is not None and found.state == "ok")
        running._queue.put_nowait(None)
        await task

    async def until(condition: object) -> None:
        assert callable(condition)
        for _ in range(500):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("in vain")

    asyncio.run(play())


def test_files_from_the_future_and_the_past(scene: Scene) -> None:
    scene.write("one")
    scene.start()
    scene.until_seen("one")
    for name, written in (("two", 4_000_000_000), ("three", 1)):
        scene.write(name)
        os.utime(scene.file, (written, written))
        scene.until_seen(name)
    assert scene.daemon.alive


@pytest.mark.requires("faketime")
def test_a_clock_that_jumps_neither_hides_a_conflict_nor_invents_one(
    scene: Scene, tmp_path: Path, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    jump = tmp_path / "jump"
    jump.write_text("+0")
    fake = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    # The wall clock alone: the clock that timers run by does not jump on a real machine either.
    scene.start(
        LD_PRELOAD=fake.stdout.strip(),
        FAKETIME_TIMESTAMP_FILE=str(jump),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    scene.hold(docker_engine, other_container)
    for days, name in ((1, "two"), (-400, "three")):
        jump.write_text(f"{days:+}d")
        scene.write(name)
        scene.until_conflict(name)
        since = datetime.fromisoformat(scene.daemon.snapshot()["conflicts"][0]["since"])
        assert round((since.timestamp() - time.time()) / 86400) == days  # the daemon's clock did jump
        scene.write("one")
        scene.until_quiet()
    # Of a year and a day ago, to a clock that was set right in between: still the same jobs and the same conflict.
    scene.write("two")
    scene.until_conflict("two")
    jump.write_text("+0")
    scene.write("three")
    scene.until_conflict("three")
    assert len(scene.daemon.snapshot()["jobs"]) == 1
    assert scene.daemon.alive


def test_what_happened_in_its_sleep_is_known_when_it_wakes(
    scene: Scene, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    scene.start()
    first = scene.hold(docker_engine, other_container)
    os.kill(scene.daemon.pid, signal.SIGSTOP)
    try:
        for name in ("two", "three", "two"):
            scene.write(name)
    finally:
        os.kill(scene.daemon.pid, signal.SIGCONT)
    scene.until_conflict("two")
    assert scene.daemon.log.count("Traceback") == 0
    # A job that ended in its sleep is no victim any more.
    os.kill(scene.daemon.pid, signal.SIGSTOP)
    try:
        docker_engine.docker("rm", "-f", first)
    finally:
        os.kill(scene.daemon.pid, signal.SIGCONT)
    scene.until_quiet()
    assert scene.daemon.snapshot()["jobs"] == []


def test_of_many_daemons_started_at_once_one_stays(scene: Scene) -> None:
    scene.write("one")
    command = [sys.executable, "-m", "taowatch", "daemon"]
    started = [
        subprocess.Popen(command, env=scene.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    try:
        wait_until(lambda: sum(p.poll() is None for p in started) == 1, 20, "the last one")
        (last,) = (p for p in started if p.poll() is None)
        assert [p.returncode for p in started if p is not last] == [1] * 3
        status = Path(scene.environment["XDG_RUNTIME_DIR"]) / "taowatch/status.json"
        wait_until(status.exists, 10)
        assert json.loads(status.read_text())["daemon"]["pid"] == last.pid
    finally:
        for process in started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=10)
