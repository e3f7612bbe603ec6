"""Bus and notification server go and come back; a daemon that comes back says nothing twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.faults.conftest import Scene
from tests.support.desktop import NotificationServer, SessionBus
from tests.support.engine import Engine
from tests.support.waiting import wait_until


def remapped(scene: Scene, docker_engine: Engine, run: Callable[..., str]) -> None:
    scene.start()
    wait_until(lambda: scene.daemon.snapshot()["daemon"]["notifications"] == "desktop", 10, "the desktop")
    scene.hold(docker_engine, run)
    scene.write("two")
    scene.until_conflict("two")


def test_a_conflict_is_announced_once_however_often_the_daemon_dies(
    scene: Scene, notifications: NotificationServer, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    remapped(scene, docker_engine, other_container)
    wait_until(lambda: notifications.open, 5, "the notification")
    for _ in range(3):
        wait_until(lambda: scene.daemon.snapshot()["alerts"], 5)
        scene.daemon.kill()
        scene.start()
        scene.until_conflict("two")
        wait_until(lambda: scene.daemon.snapshot()["daemon"]["notifications"] == "desktop", 10, "the desktop")
        assert len(notifications.open) == 1
    calls = [call for call in notifications.calls if call.replaces_id == 0]
    assert len(calls) == 1, calls
    # And it is not orphaned: once over, the notification of the first daemon is closed by the last one.
    scene.write("one")
    wait_until(lambda: not notifications.open, 10, lambda: str(notifications.calls))


def test_what_ended_while_no_daemon_ran_is_closed(
    scene: Scene, notifications: NotificationServer, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    remapped(scene, docker_engine, other_container)
    wait_until(lambda: notifications.open, 5, "the notification")
    scene.daemon.kill()
    scene.write("one")
    scene.start()
    wait_until(lambda: scene.daemon.snapshot()["jobs"], 10, "the job")
    os.kill(scene.daemon.pid, signal.SIGHUP)  # what else the next minute would do
    wait_until(lambda: not notifications.open, 10, lambda: str(notifications.calls))


def test_what_was_kept_is_not_asked_again(
    scene: Scene, notifications: NotificationServer, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    remapped(scene, docker_engine, other_container)
    wait_until(lambda: notifications.open, 5, "the notification")
    notifications.invoke_action(next(iter(notifications.open)), "keep")
    wait_until(lambda: [c["kept"] for c in scene.daemon.snapshot()["conflicts"]] == [True], 5, "Keep")
    calls = len(notifications.calls)
    scene.daemon.kill()
    scene.start()
    wait_until(lambda: [c["kept"] for c in scene.daemon.snapshot()["conflicts"]] == [True], 10, "Keep")
    assert scene.daemon.snapshot()["alerts"] == []
    assert len(notifications.calls) == calls


def test_bus_and_server_come_back_while_a_conflict_holds(
    scene: Scene,
    bus: SessionBus,
    notifications: NotificationServer,
    docker_engine: Engine,
    other_container: Callable[..., str],
) -> None:
    remapped(scene, docker_engine, other_container)
    wait_until(lambda: notifications.open, 5, "the notification")
    notifications.restart()
    wait_until(lambda: len(notifications.open) == 1, 10, "it is shown again by another server")
    notifications.stop()
    bus.stop()
    wait_until(lambda: scene.daemon.snapshot()["daemon"]["notifications"] != "desktop", 10, "the loss")
    bus.start()
    notifications.start()
    wait_until(lambda: len(notifications.open) == 1, 20, lambda: scene.daemon.log)
    scene.write("one")
    wait_until(lambda: not notifications.open, 10, "the end")


def test_a_server_that_hangs_for_a_while_shows_it_once(
    scene: Scene, notifications: NotificationServer, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    scene.start()
    wait_until(lambda: scene.daemon.snapshot()["daemon"]["notifications"] == "desktop", 10, "the desktop")
    scene.hold(docker_engine, other_container)
    notifications._in_loop(lambda: notifications._loop and notifications._loop.call_soon(time.sleep, 4))
    scene.write("two")
    scene.until_conflict("two", 3)  # whatever the desktop does, the rest goes on
    wait_until(lambda: notifications.open, 10, "the notification")
    scene.write("three")
    scene.until_conflict("three")
    wait_until(lambda: "/three," in next(iter(notifications.open.values())).body, 5)
    assert len(notifications.open) == 1
