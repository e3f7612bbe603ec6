"""The desktop on a real bus: server there, away, and back; markup; updates in place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from taowatch.core.effects import Alert
from taowatch.core.events import ActionChosen, DesktopChanged, Event
from taowatch.sinks.desktop import Desktop
from tests.support.desktop import NotificationServer, SessionBus


def alert(body: str = "body", key: str = "job") -> Alert:
    return Alert(key, "critical", "title", body, "line", (("restore", "Restore"), ("keep", "Keep")))


class Stage:
    """A desktop sink in a loop of its own test."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.events: list[Event] = []
        self.desktop = Desktop(environment, self.events.append)
        self.desktop.start()

    @property
    def state(self) -> str | None:
        said = [event.state for event in self.events if isinstance(event, DesktopChanged)]
        return said[-1] if said else None

    async def until(self, condition: Callable[[], object], timeout: float = 8.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self.events
            await asyncio.sleep(0.01)


def test_no_bus_is_a_state(environment: dict[str, str]) -> None:
    async def play() -> None:
        stage = Stage({**environment, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent/bus"})
        await stage.until(lambda: stage.state)
        stage.desktop.show(alert())
        await stage.desktop.stop()

    asyncio.run(play())


def test_a_server_that_comes_late_is_shown_what_still_holds(bus: SessionBus, environment: dict[str, str]) -> None:
    async def play() -> None:
        stage = Stage(environment)
        await stage.until(lambda: stage.state == "no notification server on the session bus")
        stage.desktop.show(alert("over"))
        stage.desktop.withdraw("job")
        stage.desktop.show(alert("holds", "other"))
        server = NotificationServer(bus.address)
        await asyncio.to_thread(server.start)
        await stage.until(lambda: stage.state == "desktop")
        await stage.until(lambda: server.open)
        assert [n.body for n in server.open.values()] == ["holds"]
        await asyncio.to_thread(server.restart)
        await stage.until(lambda: [n.body for n in server.open.values()] == ["holds"])
        await stage.desktop.stop()
        await asyncio.to_thread(server.stop)

    asyncio.run(play())


def test_it_updates_in_place_closes_and_hears_buttons(
    notifications: NotificationServer, environment: dict[str, str]
) -> None:
    async def play() -> None:
        stage = Stage(environment)
        stage.desktop.show(alert("first"))
        await stage.until(lambda: notifications.open)
        stage.desktop.show(alert("second"))
        await stage.until(lambda: [n.body for n in notifications.open.values()] == ["second"])
        (id,) = notifications.open
        await asyncio.to_thread(notifications.invoke_action, id, "restore")
        await stage.until(lambda: ActionChosen("job", "restore") in stage.events)
        stage.desktop.withdraw("job")
        await stage.until(lambda: not notifications.open)
        await stage.desktop.stop()

    asyncio.run(play())


def test_a_burst_ends_in_its_last_state(notifications: NotificationServer, environment: dict[str, str]) -> None:
    async def play() -> None:
        stage = Stage(environment)
        await stage.until(lambda: stage.state == "desktop")
        for number in range(1000):
            stage.desktop.show(alert(str(number)))
        await stage.until(lambda: [n.body for n in notifications.open.values()] == ["999"])
        assert len(notifications.open) == 1
        await stage.desktop.stop()

    asyncio.run(play())


def test_markup_is_escaped_only_where_it_is_understood(bus: SessionBus, environment: dict[str, str]) -> None:
    async def play(capabilities: list[str], expected: str) -> None:
        server = NotificationServer(bus.address, capabilities)
        await asyncio.to_thread(server.start)
        stage = Stage(environment)
        stage.desktop.show(alert("<b>a & b</b>"))
        await stage.until(lambda: server.open)
        assert [n.body for n in server.open.values()] == [expected]
        assert all(bool(n.actions) == ("actions" in capabilities) for n in server.open.values())
        await stage.desktop.stop()
        await asyncio.to_thread(server.stop)

    asyncio.run(play(["body", "body-markup", "actions"], "&lt;b&gt;a &amp; b&lt;/b&gt;"))
    asyncio.run(play(["body"], "<b>a & b</b>"))


def test_the_bus_may_go_and_come_back(
    bus: SessionBus, notifications: NotificationServer, environment: dict[str, str]
) -> None:
    async def play() -> None:
        stage = Stage(environment)
        stage.desktop.show(alert())
        await stage.until(lambda: notifications.open)
        await asyncio.to_thread(notifications.stop)
        await asyncio.to_thread(bus.restart)
        await stage.until(lambda: stage.state != "desktop")
        await asyncio.to_thread(notifications.start)
        await stage.until(lambda: stage.state == "desktop", timeout=15)
        await stage.until(lambda: notifications.open)
        await stage.desktop.stop()

    asyncio.run(play())


def test_a_button_that_comes_with_the_answer_is_not_lost(
    notifications: NotificationServer, environment: dict[str, str]
) -> None:
    async def play() -> None:
        stage = Stage(environment)
        await stage.until(lambda: stage.state == "desktop")
        stage.desktop.show(alert())
        while not notifications.calls:
            await asyncio.sleep(0)
        # Without a turn of our loop in between: answer and signal are read together.
        notifications.invoke_action(notifications.calls[0].id, "restore")
        await stage.until(lambda: ActionChosen("job", "restore") in stage.events)
        await stage.desktop.stop()

    asyncio.run(play())
