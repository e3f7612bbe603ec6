"""Lost events, clocks that jump, a machine that slept, several daemons at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from taowatch import daemon
from taowatch.paths import Paths
from taowatch.sources.directories import Directories
from tests.faults.conftest import Scene
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
    import os

    scene.write("one")
    scene.start()
    scene.until_seen("one")
    for name, time in (("two", 4_000_000_000), ("three", 1)):
        scene.write(name)
        os.utime(scene.file, (time, time))
        scene.until_seen(name)
    assert scene.daemon.alive


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
