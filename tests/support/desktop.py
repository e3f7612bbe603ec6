"""A real session bus, and a notification server on it that remembers what it was asked to show."""

import asyncio
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from dbus_fast import Message, RequestNameReply
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusDict, DBusInt32, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_signal

from tests.support.waiting import wait_until

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
CAPABILITIES = ("actions", "body", "persistence")
EXPIRED, DISMISSED, WITHDRAWN = 1, 2, 3
T = TypeVar("T")

Strings = Annotated[list[str], DBusSignature("as")]
Information = Annotated[tuple[str, str, str, str], DBusSignature("ssss")]
Closed = Annotated[tuple[int, int], DBusSignature("uu")]
Invoked = Annotated[tuple[int, str], DBusSignature("us")]

# No service folders: a bus that could start the machine's own notification server would answer for nobody.
CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class SessionBus:
    """A dbus-daemon of its own, which may go away and come back at the same address."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix:path={self.path}"

    def start(self) -> None:
        """Start it; it prints its address once it listens."""
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
            configuration.write(CONFIGURATION.format(path=self.path))
            configuration.flush()
            self._process = subprocess.Popen(
                [
                    "dbus-daemon",
                    f"--config-file={configuration.name}",
                    "--nofork",
                    "--nopidfile",
                    "--print-address",
                ],
                stdout=subprocess.PIPE,
            )
            assert self._process.stdout
            assert self._process.stdout.readline(), "dbus-daemon ended"

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None
        self.path.unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()


@dataclass(frozen=True)
class Notification:
    """One Notify call, and the id that was given for it."""

    id: int
    app_name: str
    replaces_id: int
    app_icon: str
    summary: str
    body: str
    actions: dict[str, str]
    hints: dict[str, Any]
    expire_timeout: int
    at: int
    """time.monotonic_ns() of its arrival"""


class _Interface(ServiceInterface):
    """The bus's side of the server; everything it learns goes into the server's lists."""

    def __init__(self, server: "NotificationServer") -> None:
        super().__init__(NAME)
        self._server = server

    @dbus_method(name="Notify")
    def notify(
        self,
        app_name: DBusStr,
        replaces_id: DBusUInt32,
        app_icon: DBusStr,
        summary: DBusStr,
        body: DBusStr,
        actions: Strings,
        hints: DBusDict,
        expire_timeout: DBusInt32,
    ) -> DBusUInt32:
        at = time.monotonic_ns()
        labels = dict(zip(actions[::2], actions[1::2], strict=True))
        values = {key: hint.value for key, hint in hints.items()}
        return self._server._record(
            Notification(
                self._server._next_id(replaces_id),
                app_name,
                replaces_id,
                app_icon,
                summary,
                body,
                labels,
                values,
                expire_timeout,
                at,
            )
        )

    @dbus_method(name="CloseNotification")
    def close_notification(self, id: DBusUInt32) -> None:
        self._server.close_calls.append(id)
        if self._server.open.pop(id, None):
            self.notification_closed(id, WITHDRAWN)

    @dbus_method(name="GetCapabilities")
    def get_capabilities(self) -> Strings:
        return list(self._server.capabilities)

    @dbus_method(name="GetServerInformation")
    def get_server_information(self) -> Information:
        return ("recorder", "taowatch", "1", "1.2")

    @dbus_signal(name="NotificationClosed")
    def notification_closed(self, id: int, reason: int) -> Closed:
        return (id, reason)

    @dbus_signal(name="ActionInvoked")
    def action_invoked(self, id: int, key: str) -> Invoked:
        return (id, key)


class NotificationServer:
    """Owns the notification service's name on a bus, in a thread and a loop of its own."""

    def __init__(self, address: str, capabilities: Sequence[str] = CAPABILITIES) -> None:
        self.address = address
        self.capabilities = capabilities
        self.calls: list[Notification] = []
        self.close_calls: list[int] = []
        self.open: dict[int, Notification] = {}
        self._last_id = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take the name; what was recorded before a restart is kept, what was open is not."""
        self.open.clear()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._connect())

    async def _connect(self) -> None:
        self._interface = _Interface(self)
        self._bus = await MessageBus(bus_address=self.address).connect()
        self._bus.export(PATH, self._interface)
        reply = await self._bus.request_name(NAME)
        assert reply is RequestNameReply.PRIMARY_OWNER, reply

    def stop(self) -> None:
        """Leave the bus, as a crashed server would; a second time is no error."""
        if self._loop is None:
            return
        self._call(self._disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._loop = None

    async def _disconnect(self) -> None:
        self._bus.disconnect()
        await asyncio.sleep(0)

    def restart(self) -> None:
        self.stop()
        self.start()

    def wait_for(self, predicate: Callable[[Notification], bool], timeout: float = 10) -> Notification:
        """The first recorded call that fits."""
        found = wait_until(
            lambda: list(filter(predicate, list(self.calls))),
            timeout,
            lambda: f"a notification among {[call.summary for call in self.calls]}",
            pause=0.002,
        )
        return found[0]

    def invoke_action(self, id: int, key: str) -> None:
        """Press a button: as real servers do, the notification is then closed."""
        self._in_loop(lambda: self._interface.action_invoked(id, key))
        self.close(id, DISMISSED)

    def close(self, id: int, reason: int = DISMISSED) -> None:
        """Close it from the user's side."""
        self.open.pop(id, None)
        self._in_loop(lambda: self._interface.notification_closed(id, reason))

    def _next_id(self, replaces_id: int) -> int:
        if replaces_id in self.open:
            return replaces_id
        self._last_id += 1
        return self._last_id

    def _record(self, notification: Notification) -> int:
        self.open[notification.id] = notification
        self.calls.append(notification)
        return notification.id

    def _in_loop(self, action: Callable[[], Any]) -> None:
        async def act() -> None:
            action()

        self._call(act())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None, "not started"
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(10)


def call_notifications(address: str, member: str, signature: str, body: list[Any]) -> list[Any]:
    """One call to whichever notification server is on the bus, and what it answered."""

    async def call() -> list[Any]:
        bus = await MessageBus(bus_address=address).connect()
        reply = await bus.call(Message(NAME, PATH, NAME, member, signature=signature, body=body))
        bus.disconnect()
        assert reply
        return list(reply.body)

    return asyncio.run(call())
