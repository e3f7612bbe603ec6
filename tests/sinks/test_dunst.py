"""A real notification server, seen by a real screen."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taowatch.core.effects import Alert
from taowatch.core.events import DesktopChanged, Event
from taowatch.sinks.desktop import Desktop
from tests.support.desktop import SessionBus
from tests.support.waiting import wait_until

DISPLAY = ":79"


@pytest.fixture
def screen(requires: Callable[..., None], bus: SessionBus, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    requires("dunst")
    environment["DISPLAY"] = DISPLAY
    with open(os.devnull, "wb") as nowhere:
        xvfb = subprocess.Popen(["Xvfb", DISPLAY, "-screen", "0", "900x500x24"], stdout=nowhere, stderr=nowhere)
        wait_until(lambda: Path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").exists(), 10, "Xvfb")
        dunst = subprocess.Popen(["dunst"], env=environment, stdout=nowhere, stderr=nowhere)
        yield environment
        for process in (dunst, xvfb):
            process.terminate()
            process.wait(10)


def lit(environment: dict[str, str]) -> float:
    """How much of the screen's pixels is not black, from 0 to 1; what dunst shows is the only light on it."""
    command = ["import", "-window", "root", "-depth", "8", "rgb:-"]
    pixels = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    assert len(pixels) == 900 * 500 * 3
    return 1 - pixels.count(0) / len(pixels)


def test_a_person_sees_it_come_and_go(screen: dict[str, str]) -> None:
    events: list[Event] = []

    async def until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < deadline, events
            await asyncio.sleep(0.05)

    async def play() -> None:
        desktop = Desktop(screen, events.append)
        desktop.start()
        await until(lambda: DesktopChanged("desktop") in events)
        assert lit(screen) == 0
        desktop.show(Alert("job", "critical", "TAO folders moved", "body", "line", (("restore", "Restore"),)))
        await until(lambda: lit(screen) > 0.01)
        desktop.withdraw("job")
        await until(lambda: lit(screen) == 0)
        await desktop.stop()

    asyncio.run(play())
