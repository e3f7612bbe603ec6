"""The Docker engine -> containers and their events, in a thread of its own. Reconnects for ever, and says why not."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from taowatch.core.events import ContainerEnded, ContainerSeen, ContainersListed, EngineConnected, EngineLost, Event
from taowatch.core.jobs import Container, Launcher, is_tao_image

log = logging.getLogger(__name__)

_TIMEOUT = 10
"""Seconds for a single question. A busy engine is asked again, and nothing else waits for it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

FindLauncher = Callable[[str], Launcher | None]


class DockerSource:
    """Follows one engine. `emit` is called in the thread and must be thread-safe."""

    def __init__(self, environ: Mapping[str, str], emit: Callable[[Event], None], find_launcher: FindLauncher) -> None:
        self._environ = environ
        self._emit = emit
        self._find_launcher = find_launcher
        self._stopping = threading.Event()
        self._retry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="docker", daemon=True)
        self._client: Any = None
        self._stream: Any = None
        self._reason: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread. A stream that blocks is closed under it."""
        self._stopping.set()
        self._retry.set()
        stream = self._stream
        if stream is not None:
            try:
                stream.close()
            except Exception:  # the library fails in several ways on a stream that just ended
                log.debug("closing the event stream", exc_info=True)
        self._thread.join(2)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def retry_now(self) -> None:
        """Do not wait for the end of the pause: something hints that the engine may be back."""
        self._retry.set()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                for event in self._connected():
                    pause = _FIRST_PAUSE
                    self._take(event)
                reason = "the engine closed the connection"
            except Exception as error:  # whatever the library or the engine does, this thread goes on
                log.debug("docker", exc_info=True)
                reason = explain(error, endpoint(self._environ))
            self._lost(reason)
            self._retry.wait(pause)
            self._retry.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _lost(self, reason: str) -> None:
        if self._stopping.is_set():
            return
        if reason != self._reason:
            self._reason = reason
            self._emit(EngineLost(reason))

    def _connected(self) -> Iterator[dict[str, Any]]:
        """Subscribe first and list then, so that no container can start between the two; yields the engine's events."""
        self._client = connect(self._environ)
        self._stream = self._client.api.events(decode=True, filters={"type": "container"})
        listed = tuple((container, self._find_launcher(container.id)) for container in running(self._client))
        self._reason = None
        self._emit(EngineConnected())
        self._emit(ContainersListed(listed))
        yield from self._stream

    def _take(self, event: dict[str, Any]) -> None:
        # Some engines (podman) leave fields out or name them otherwise: what is not understood is passed over.
        action = str(event.get("Action") or event.get("status") or "")
        id = str(event.get("id") or event.get("Actor", {}).get("ID") or "")
        if not id:
            return
        if action in ("die", "died", "destroy", "remove"):
            self._emit(ContainerEnded(id))
        elif action == "start" or action.startswith("exec_start"):
            container = self._inspect(id)
            if container is not None:
                self._emit(ContainerSeen(container, self._find_launcher(id)))

    def _inspect(self, id: str) -> Container | None:
        from docker.errors import NotFound

        try:
            return container_of(self._client.api.inspect_container(id))
        except NotFound:
            return None  # over already


def connect(environ: Mapping[str, str]) -> Any:
    """A client of the engine for this environment. Raises what the docker library raises."""
    import docker

    return docker.DockerClient(base_url=endpoint(environ), version="auto", timeout=_TIMEOUT)


def endpoint(environ: Mapping[str, str]) -> str:
    """The engine that is asked: DOCKER_HOST, else the launcher's own socket."""
    return environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


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
    """What `docker inspect` says, or None where it is no container of a TAO image."""
    image = str(facts.get("Config", {}).get("Image", ""))
    if not is_tao_image(image):
        return None
    mounts = facts.get("Mounts") or []
    binds = sorted((m["Destination"], m["Source"]) for m in mounts if m.get("Type") == "bind")
    gpus = bool((facts.get("HostConfig") or {}).get("DeviceRequests"))
    return Container(str(facts["Id"]), image, _seconds(str(facts.get("Created", ""))), tuple(binds), gpus)


def explain(error: Exception, where: str) -> str:
    """One line for people: what is wrong with the engine at `where`, and what to do."""
    path = where.removeprefix("unix://")
    if where.startswith("unix://"):
        if not os.path.exists(path):
            return f"no Docker engine at {path} (it is not there); jobs are known from their processes only"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"no permission for {path}: add yourself to the group docker, then log out and in again"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"the Docker engine at {path} does not answer: {text[:160]}"


def _seconds(created: str) -> float:
    # Nanoseconds, which fromisoformat does not take: 2026-01-01T10:00:00.123456789Z
    try:
        return datetime.fromisoformat(created[:19] + "+00:00").timestamp() + float("0." + (created[20:26] or "0"))
    except ValueError:
        return 0.0
