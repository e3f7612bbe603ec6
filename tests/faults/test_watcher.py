"""The kernel's limits: no inotify instance, no watch left, a queue that overflows."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Scene
from tests.support.waiting import wait_until

# Limits are counted per user namespace, so they can be lowered for one process alone.
LIMITED = (
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-ec",
    'echo "$1" > "/proc/sys/user/$2"; shift 2; exec "$@"',
    "sh",
)


@pytest.mark.requires("root")
@pytest.mark.parametrize("limit", [("0", "max_inotify_instances"), ("0", "max_inotify_watches")])
def test_polling_takes_over_where_inotify_is_used_up(scene: Scene, limit: tuple[str, str]) -> None:
    scene.write("one")
    scene.start((*LIMITED, *limit))
    scene.until_seen("one")
    for name in ("two", "three"):
        scene.write(name)
        scene.until_seen(name)
    assert scene.daemon.log.count("limit reached") == 1
    assert "looked at every 2 s instead" in scene.daemon.log


def test_an_overflow_of_the_queue_loses_nothing(scene: Scene) -> None:
    scene.write("one")
    scene.start()
    scene.until_seen("one")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    os.kill(scene.daemon.pid, signal.SIGSTOP)
    try:
        for number in range(limit // 2 + 100):  # two events each: made and closed
            (scene.home / f"file-{number}").touch()
        scene.write("two")
    finally:
        os.kill(scene.daemon.pid, signal.SIGCONT)
    scene.until_seen("two", 20)
    wait_until(lambda: "dropped file events" in scene.daemon.log, 5, lambda: scene.daemon.log)
    scene.write("three")
    scene.until_seen("three")
