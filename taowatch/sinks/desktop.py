"""Alerts -> desktop notifications over D-Bus (org.freedesktop.Notifications), and the buttons pressed on them.

Best effort by nature: no bus and no server are states that are said, not errors. What is wanted is kept per key, and
one worker brings the desktop in line with it, so a burst of changes shows its last state, and a server that comes late
or again is shown what still holds.
"""

from __future__ import annotations

import asyncio
import html
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from taowatch.core.effects import Alert
from taowatch.core.events import ActionChosen, DesktopChanged, Event
from taowatch.sinks.shown import Memory

log = logging.getLogger(__name__)

DESKTOP = "desktop"
_NAME = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_TIMEOUT = 2.0
_NOTIFY_TIMEOUT = 25.0
"""As the bus itself gives up. Earlier, a slow server might show what we then show again, not knowing its id."""
_LONGEST_PAUSE = 60.0
_PACE = 0.3
"""Seconds between two rounds of changes on the desktop: a burst shows its last state, and servers refuse a flood."""
_NO_SERVER = "no notification server on the session bus"
_URGENCY = {"critical": 2, "warning": 1, "info": 0}


class Desktop:
    """The notification server, whoever it is at the moment. Lives in the event loop."""

    def __init__(self, environ: Mapping[str, str], emit: Callable[[Event], None], memory: Memory | None = None) -> None:
        self._environ = environ
        self._emit = emit
        self._memory = memory or Memory(None)
        self._wanted: dict[str, Alert] = {}
        self._shown: dict[str, tuple[int, Alert]] = {}
        self._settled = False
        self._early: dict[int, str] | None = None
        """Buttons pressed while a notification is being shown, by its id; None while none is."""
        self._wake = asyncio.Event()
        self._bus: MessageBus | None = None
        self._body_markup = False
        self._actions = False
        self._state: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="desktop")

    async def stop(self) -> None:
        """End; what is shown stays, because it is still true."""
        while self._task is not None and not self._task.done():
            # Once may not be enough: up to Python 3.11 wait_for() loses a cancellation that meets an answer.
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.2)

    def show(self, alert: Alert) -> None:
        self._wanted[alert.key] = alert
        self._wake.set()

    def withdraw(self, key: str) -> None:
        self._wanted.pop(key, None)
        self._wake.set()

    def settle(self) -> None:
        """What an earlier daemon showed and nobody asked for since is over."""
        self._settled = True
        self._wake.set()

    async def _run(self) -> None:
        pause = 1.0
        while True:
            try:
                bus = self._bus = await self._connect()
                pause = 1.0
                await self._serve(bus)
                reason = "the session bus closed the connection"
            except Exception as error:  # whatever a bus does, the daemon goes on
                log.debug("desktop", exc_info=True)
                reason = _reason(error)
            self._bus = None
            self._remember()
            self._say(reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _connect(self) -> MessageBus:
        address = bus_address(self._environ)
        if address is None:
            raise ConnectionError(
                "no session bus (DBUS_SESSION_BUS_ADDRESS is unset and there is no $XDG_RUNTIME_DIR/bus)"
            )
        bus = await asyncio.wait_for(MessageBus(bus_address=address).connect(), _TIMEOUT)
        bus.add_message_handler(self._message)
        for rule in (
            f"type='signal',interface='{_NAME}'",
            f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{_NAME}'",
        ):
            await _call(bus, "AddMatch", "s", [rule], name="org.freedesktop.DBus", path="/org/freedesktop/DBus")
        return bus

    async def _serve(self, bus: MessageBus) -> None:
        """Until the bus goes: keep the desktop in line with what is wanted."""
        gone: asyncio.Future[Any] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        gone.add_done_callback(lambda _: self._wake.set())
        try:
            await self._meet_server(bus)
            while not gone.done():
                if await self._reconcile(bus):
                    await asyncio.sleep(_PACE)
                await self._wake.wait()
        finally:
            # Not cancelled: the library sets its result when the connection ends, and may not find it cancelled.
            gone.add_done_callback(lambda future: future.cancelled() or future.exception())
            bus.disconnect()

    async def _meet_server(self, bus: MessageBus) -> None:
        """Ask the bus first whether there is a server: a call to a missing one may block while it is searched for."""
        has_owner = await _call(
            bus, "NameHasOwner", "s", [_NAME], name="org.freedesktop.DBus", path="/org/freedesktop/DBus"
        )
        self._remember()
        if not has_owner[0]:
            self._say(_NO_SERVER)
            return
        # Ids mean something to the very server that gave them: names are unique on a bus, and each bus has an id.
        bus_id = await _call(bus, "GetId", name="org.freedesktop.DBus", path="/org/freedesktop/DBus")
        owner = await _call(
            bus, "GetNameOwner", "s", [_NAME], name="org.freedesktop.DBus", path="/org/freedesktop/DBus"
        )
        self._memory.meet(f"{bus_id[0]} {owner[0]}")
        capabilities = (await _call(bus, "GetCapabilities"))[0]
        self._body_markup = "body-markup" in capabilities
        self._actions = "actions" in capabilities
        self._say(DESKTOP)

    async def _reconcile(self, bus: MessageBus) -> bool:
        """Whether anything had to be done."""
        self._wake.clear()
        if self._state != DESKTOP:
            return False
        over = [self._shown.pop(key)[0] for key in list(self._shown) if key not in self._wanted]
        over += self._memory.take_all(set(self._wanted)) if self._settled else []
        for id in over:
            await _call(bus, "CloseNotification", "u", [id])
        told = 0
        for key, alert in list(self._wanted.items()):
            id, shown = self._shown.get(key, (0, None))
            if shown == alert:
                continue
            if shown is None:
                id, same = self._memory.take(alert)
                if same:
                    self._shown[key] = (id, alert)
                    continue
            self._early = {}
            self._shown[key] = (await self._notify(bus, alert, id), alert)
            self._take_early(key)
            told += 1
        if over or told:
            self._memory.save(self._shown)
        return bool(over or told)

    def _remember(self) -> None:
        """What is shown may still be there, if the same server is met again."""
        self._memory.keep(self._shown)
        self._shown.clear()

    async def _notify(self, bus: MessageBus, alert: Alert, replaces: int) -> int:
        actions = [word for pair in alert.actions for word in pair] if self._actions else []
        body = html.escape(alert.body, quote=False) if self._body_markup else alert.body
        hints = {
            "urgency": Variant("y", _URGENCY[alert.severity]),
            "desktop-entry": Variant("s", "taowatch"),
            "category": Variant("s", "device.error"),
        }
        arguments = ["taowatch", replaces, "dialog-warning", alert.title, body, actions, hints, 0]
        answer = await _call(bus, "Notify", "susssasa{sv}i", arguments, timeout=_NOTIFY_TIMEOUT)
        return int(answer[0])

    def _message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged" and message.body[0] == _NAME:
            asyncio.get_running_loop().create_task(self._server_changed())
        elif message.interface == _NAME and message.member == "ActionInvoked":
            key, action = self._key(message.body[0]), str(message.body[1])
            if key is not None:
                self._emit(ActionChosen(key, action))
            elif self._early is not None:
                self._early[message.body[0]] = action
        # A notification that the user closed is not shown again by itself; its id remains good for replacing.

    def _take_early(self, key: str) -> None:
        """A button may be pressed before the answer that says which notification it belongs to was looked at."""
        action = (self._early or {}).get(self._shown[key][0])
        self._early = None
        if action is not None:
            self._emit(ActionChosen(key, action))

    async def _server_changed(self) -> None:
        """Another server, or none: earlier ids mean nothing to it."""
        if self._bus is None:
            return
        try:
            await self._meet_server(self._bus)
        except Exception as error:  # it may be gone again already
            self._say(_reason(error))
        self._wake.set()

    def _key(self, id: int) -> str | None:
        return next((key for key, (shown, _) in self._shown.items() if shown == id), None)

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._emit(DesktopChanged(state))


def bus_address(environ: Mapping[str, str]) -> str | None:
    """The session bus: the variable, else the socket of the user's own manager (ssh, su and tmux lose the variable)."""
    if address := environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    for directory in (environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if directory and os.path.exists(f"{directory}/bus"):
            return f"unix:path={directory}/bus"
    return None


async def server_state(environ: Mapping[str, str]) -> str:
    """DESKTOP where a notification server answers on the session bus now, else the reason why not."""
    try:
        bus = await asyncio.wait_for(MessageBus(bus_address=bus_address(environ)).connect(), _TIMEOUT)
        try:
            has_owner = await _call(
                bus, "NameHasOwner", "s", [_NAME], name="org.freedesktop.DBus", path="/org/freedesktop/DBus"
            )
            if not has_owner[0]:
                return _NO_SERVER
            await _call(bus, "GetCapabilities")
            return DESKTOP
        finally:
            bus.disconnect()
    except Exception as error:  # no bus, no server, or one that does not answer: all are reasons
        return _reason(error)


async def _call(
    bus: MessageBus,
    member: str,
    signature: str = "",
    body: list[Any] | None = None,
    name: str = _NAME,
    path: str = _PATH,
    timeout: float = _TIMEOUT,
) -> list[Any]:
    """One call by the well-known name, never starting a service for it. Raises ConnectionError with the answer."""
    message = Message(
        destination=name,
        path=path,
        interface=name,
        member=member,
        signature=signature,
        body=body or [],
        flags=MessageFlag.NO_AUTOSTART,
    )
    try:
        reply = await asyncio.wait_for(bus.call(message), timeout)
    except asyncio.TimeoutError:
        raise ConnectionError(f"the notification server does not answer ({member})") from None
    if reply is None or reply.message_type is MessageType.ERROR:
        raise ConnectionError(f"{member}: {reply.body[0] if reply and reply.body else 'refused'}")
    return list(reply.body)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else f"session bus: {type(error).__name__}"
