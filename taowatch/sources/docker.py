"""The Docker engine -> containers and their events, in a thread of its own. Reconnects for ever, and says why not."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from taowatch.core.events import ContainerEnded, ContainerSeen, ContainersListed, EngineConnected, EngineLost, Event
from taowatch.core.jobs import Container, Launcher, is_tao_image
from taowatch.sources.docker_endpoint import Endpoint, resolve

log = logging.getLogger(__name__)

_TIMEOUT = 10
"""Seconds for a single question. A busy engine is asked again, and nothing else waits for it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_STEADY = 10.0
"""Seconds after which a connection counts as one that worked."""
_PATIENCE = 45.0
"""Seconds for connecting, before the engine counts as hung."""

FindLauncher = Callable[[str], Launcher | None]


class RemoteEngine(Exception):
    """The engine is another machine's, whose paths are not ours."""


class DockerSource:
    """Follows one engine. `emit` is called in the thread and must be thread-safe.

    Reading the stream of events may block for ever in a hung engine, and nothing can end that from outside. So `check`,
    called once a minute, asks the engine anew; where it does not answer, the reading thread is abandoned and another
    one begins. What an abandoned thread reads later is not passed on.
    """

    def __init__(self, environ: Mapping[str, str], emit: Callable[[Event], None], find_launcher: FindLauncher) -> None:
        self._environ = environ
        self._emit = emit
        self._find_launcher = find_launcher
        self._stopping = threading.Event()
        self._retry = threading.Event()
        self._lock = threading.Lock()
        self._generation = 0
        self._thread: threading.Thread | None = None
        self._checking: threading.Thread | None = None
        self._connecting_since: float | None = None
        self._connected = False
        self._socket: tuple[int, int] | None = None
        self._known: set[str] = set()
        self._changes = 0
        self._client: Any = None
        self._stream: Any = None
        self._reason: str | None = None

    def start(self) -> None:
        with self._lock:
            self._generation += 1
            self._connected = False
            self._thread = threading.Thread(target=self._run, args=(self._generation,), name="docker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. A stream that blocks is closed under it."""
        self._stopping.set()
        self._retry.set()
        self._close_stream()
        if self._thread is not None:
            self._thread.join(2)

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def retry_now(self) -> None:
        """Do not wait for the end of the pause: something hints that the engine may be back."""
        self._retry.set()

    @property
    def where(self) -> str:
        """The engine that is asked."""
        return endpoint(self._environ).url

    def check(self) -> None:
        """Ask the engine behind a silent stream whether all is as it seems; returns at once.

        Nothing is asked while no TAO container is known and the socket is the same one.
        """
        if self._checking is not None and self._checking.is_alive():
            return
        since = self._connecting_since
        if since is not None and time.monotonic() - since > _PATIENCE:
            self._abandon(
                self._generation, f"the Docker engine at {self.where} does not answer: it accepts and is silent"
            )
        elif self._connected and (self._known or self._socket != _identity(self._environ)):
            self._checking = threading.Thread(
                target=self._compare, args=(self._generation,), name="docker-check", daemon=True
            )
            self._checking.start()

    def _run(self, generation: int) -> None:
        pause = _FIRST_PAUSE
        while self._is_current(generation):
            began = time.monotonic()
            try:
                for event in self._subscribe(generation):
                    self._take(generation, event)
                reason = "the engine closed the connection"
            except Exception as error:  # whatever the library or the engine does, this thread goes on
                log.debug("docker", exc_info=True)
                reason = explain(error, endpoint(self._environ))
            if not self._lost(generation, reason):
                return
            pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY else pause
            self._retry.wait(pause)
            self._retry.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _subscribe(self, generation: int) -> Iterator[dict[str, Any]]:
        """Subscribe first and list then, so that no container starts between the two; returns the engine's events."""
        self._connecting_since = time.monotonic()
        socket = _identity(self._environ)
        client = connect(self._environ)
        stream = client.api.events(decode=True, filters={"type": "container"})
        listed = tuple((container, self._find_launcher(container.id)) for container in running(client))
        with self._lock:
            if generation != self._generation or self._stopping.is_set():
                return iter(())
            self._client, self._stream, self._socket, self._reason = client, stream, socket, None
            self._connected, self._connecting_since = True, None
            self._known = {container.id for container, _ in listed}
            self._emit(EngineConnected())
            self._emit(ContainersListed(listed))
        events: Iterator[dict[str, Any]] = stream
        return events

    def _take(self, generation: int, event: dict[str, Any]) -> None:
        # Some engines (podman) leave fields out or name them otherwise: what is not understood is passed over.
        action = str(event.get("Action") or event.get("status") or "")
        id = str(event.get("id") or (event.get("Actor") or {}).get("ID") or "")
        if not id:
            return
        if action in ("die", "died", "destroy", "remove"):
            self._tell(generation, ContainerEnded(id), id, None)
        elif action == "start" or action.startswith("exec_start"):
            container = self._inspect(id)
            if container is not None:
                self._tell(generation, ContainerSeen(container, self._find_launcher(id)), None, id)

    def _tell(self, generation: int, event: Event, ended: str | None, seen: str | None) -> None:
        with self._lock:
            if generation != self._generation:
                return
            known = (self._known | {seen} if seen else self._known) - {ended}
            self._changes += known != self._known
            self._known = {id for id in known if id}
            self._emit(event)

    def _inspect(self, id: str) -> Container | None:
        from docker.errors import NotFound

        try:
            return container_of(self._client.api.inspect_container(id))
        except NotFound:
            return None  # over already

    def _compare(self, generation: int) -> None:
        """In a thread of its own: a fresh list against what the events said."""
        changes = self._changes
        try:
            client = connect(self._environ)
            try:
                listed = tuple((container, self._find_launcher(container.id)) for container in running(client))
            finally:
                client.close()
        except Exception as error:  # a hung or vanished engine, or an answer that the library does not understand
            self._abandon(generation, explain(error, endpoint(self._environ)))
            return
        if self._socket != _identity(self._environ):
            self._abandon(generation, "another Docker engine took the socket")
            return
        with self._lock:
            ids = {container.id for container, _ in listed}
            # Where an event came meanwhile, the list is older than what is known; the next minute tells.
            if generation == self._generation and changes == self._changes and ids != self._known:
                self._known = ids
                self._emit(ContainersListed(listed))

    def _abandon(self, generation: int, reason: str) -> None:
        if self._lost(generation, reason):
            log.debug("another thread takes over: %s", reason)
            self.start()
            self._close_stream()

    def _lost(self, generation: int, reason: str) -> bool:
        """Say it, once. False where this connection is nobody's concern any more."""
        with self._lock:
            if generation != self._generation or self._stopping.is_set():
                return False
            self._connected, self._connecting_since = False, None
            if reason != self._reason:
                self._reason = reason
                self._emit(EngineLost(reason))
        return True

    def _is_current(self, generation: int) -> bool:
        return generation == self._generation and not self._stopping.is_set()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except Exception:  # the library fails in several ways on a stream that just ended
                log.debug("closing the event stream", exc_info=True)


def connect(environ: Mapping[str, str]) -> Any:
    """A client of the engine for this environment. Raises what the docker library raises, and RemoteEngine."""
    import docker

    where = endpoint(environ)
    if where.is_remote:
        raise RemoteEngine(where.url)
    return docker.DockerClient(base_url=where.url, version="auto", timeout=_TIMEOUT)


def endpoint(environ: Mapping[str, str]) -> Endpoint:
    """The engine that is asked."""
    return resolve(environ)


def _identity(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """Which socket it is: another inode at the same path is another engine."""
    path = endpoint(environ).socket
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def running(client: Any) -> list[Container]:
    """All running containers of TAO images."""
    from docker.errors import NotFound

    found = []
    for summary in client.api.containers():
        if not is_tao_image(str(summary.get("Image", ""))):
            continue
        try:
            container = container_of(client.api.inspect_container(summary["Id"]))
        except NotFound:
            continue
        if container is not None:
            found.append(container)
    return found


def container_of(facts: dict[str, Any]) -> Container | None:
    """What `docker inspect` says, or None where it is no container of a TAO image. Engines leave fields out."""
    config, id = facts.get("Config"), facts.get("Id")
    image = str(config.get("Image", "")) if isinstance(config, dict) else ""
    if not isinstance(id, str) or not is_tao_image(image):
        return None
    mounts = facts.get("Mounts")
    binds = sorted(filter(None, map(_bind, mounts if isinstance(mounts, list) else [])))
    host = facts.get("HostConfig")
    gpus = isinstance(host, dict) and bool(host.get("DeviceRequests"))
    return Container(id, image, _seconds(str(facts.get("Created", ""))), tuple(binds), gpus)


def _bind(mount: Any) -> tuple[str, str] | None:
    if not isinstance(mount, dict) or mount.get("Type") != "bind":
        return None
    destination, source = mount.get("Destination"), mount.get("Source")
    return (destination, source) if isinstance(destination, str) and isinstance(source, str) else None


def explain(error: Exception, where: Endpoint) -> str:
    """One line for people: what is wrong with the engine, and what to do."""
    if where.url.startswith("context://"):
        return f"the {where.chosen_by} names no engine; jobs are known from their processes only"
    if where.is_remote:
        return f"remote engine {where.url}: path checks off, jobs are known from their processes only"
    path = where.socket or ""
    if not os.path.exists(path):
        return f"no Docker engine at {path} (it is not there); jobs are known from their processes only"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"no permission for {path}: `taowatch doctor` says why"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"the Docker engine at {path} does not answer: {text[:160]}"


def _seconds(created: str) -> float:
    # Nanoseconds, which fromisoformat does not take: 2026-01-01T10:00:00.123456789Z
    try:
        return datetime.fromisoformat(created[:19] + "+00:00").timestamp() + float("0." + (created[20:26] or "0"))
    except ValueError:
        return 0.0
