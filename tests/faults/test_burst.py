"""Ten thousand rewrites in a burst: the last state is the one reported, and the desktop is not flooded."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.conftest import Scene
from tests.support.desktop import NotificationServer
from tests.support.engine import Engine
from tests.support.waiting import wait_until

REWRITES = 10_000


def test_ten_thousand_rewrites(
    scene: Scene, notifications: NotificationServer, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    scene.start()
    wait_until(lambda: scene.daemon.snapshot()["daemon"]["notifications"] == "desktop", 10, "the desktop")
    scene.hold(docker_engine, other_container)
    texts = [scene.text(name) for name in ("two", "three")]
    for number in range(REWRITES):
        scene.file.write_text(texts[number % 2])
    scene.write("last")
    scene.until_conflict("last", 30)
    wait_until(lambda: "/last," in next(iter(notifications.open.values())).body, 5, lambda: str(notifications.open))
    assert len(notifications.open) == 1
    assert len([call for call in notifications.calls if call.replaces_id == 0]) == 1, "one, updated in place"
    assert len(notifications.calls) < 60, "a few times a second at most"
    scene.write("one")
    scene.until_quiet()
    wait_until(lambda: not notifications.open, 5, "the end")
