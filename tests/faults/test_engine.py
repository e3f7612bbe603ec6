"""The Docker engine stops, comes back, hangs, and is replaced under its socket."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taowatch.core import events
from taowatch.sources.docker import DockerSource
from tests.faults.conftest import Scene
from tests.support.engine import PrivateEngine
from tests.support.waiting import wait_until


class Heard:
    """A source on an engine, and what it told."""

    def __init__(self, engine: PrivateEngine) -> None:
        self.events: list[events.Event] = []
        self.source = DockerSource({"DOCKER_HOST": engine.host}, self.events.append, lambda _: None)

    def containers(self) -> set[str]:
        """What is known from all that was told."""
        known: set[str] = set()
        for event in list(self.events):
            match event:
                case events.ContainersListed(listed):
                    known = {container.id for container, _ in listed}
                case events.ContainerSeen(container):
                    known.add(container.id)
                case events.ContainerEnded(id):
                    known.discard(id)
        return known

    def connected(self) -> bool:
        said = [e for e in list(self.events) if isinstance(e, events.EngineConnected | events.EngineLost)]
        return bool(said) and isinstance(said[-1], events.EngineConnected)

    def reason(self) -> str:
        return next((e.reason for e in reversed(self.events) if isinstance(e, events.EngineLost)), "")


@pytest.fixture
def heard(private_engine: PrivateEngine) -> Iterator[Heard]:
    made = Heard(private_engine)
    made.source.start()
    wait_until(made.connected, 15)
    yield made
    made.source.stop()


def test_an_engine_that_stops_and_comes_back(
    scene: Scene, private_engine: PrivateEngine, other_container: Callable[..., str]
) -> None:
    scene.start(DOCKER_HOST=private_engine.host)
    scene.hold(private_engine, other_container)
    scene.write("two")
    scene.until_conflict("two")
    for how in (signal.SIGTERM, signal.SIGKILL):
        private_engine.stop(how)
        wait_until(lambda: scene.daemon.snapshot()["daemon"]["docker"] != "connected", 10, "the loss")
        scene.write("three")
        scene.until_seen("three")
        private_engine.start()
        wait_until(lambda: scene.daemon.snapshot()["daemon"]["docker"] == "connected", 70, "the engine")
        scene.hold(private_engine, other_container)
        scene.write("two")
        wait_until(lambda: "two" in scene.conflicts(), 10, lambda: str(scene.daemon.snapshot()))


def test_a_hung_engine_is_said_and_left_behind(
    heard: Heard, private_engine: PrivateEngine, other_container: Callable[..., str]
) -> None:
    container = other_container(private_engine)
    wait_until(lambda: container in heard.containers(), 10)
    assert private_engine.process
    os.kill(private_engine.process.pid, signal.SIGSTOP)
    try:
        heard.source.check()
        wait_until(lambda: not heard.connected(), 20, lambda: str(heard.events))
        assert "does not answer" in heard.reason()
        assert heard.source.is_alive()
    finally:
        os.kill(private_engine.process.pid, signal.SIGCONT)
    wait_until(heard.connected, 30, lambda: str(heard.events))
    other = other_container(private_engine)
    wait_until(lambda: heard.containers() == {container, other}, 10, lambda: str(heard.events))
    alive = [thread for thread in threading.enumerate() if thread.name == "docker"]
    wait_until(lambda: len([thread for thread in alive if thread.is_alive()]) == 1, 20, lambda: str(alive))


def test_an_end_that_was_missed_is_found(
    heard: Heard, private_engine: PrivateEngine, other_container: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    container = other_container(private_engine)
    wait_until(lambda: container in heard.containers(), 10)
    with monkeypatch.context() as patch:
        patch.setattr(heard.source, "_take", lambda *_: None)  # a silent stream
        private_engine.remove_container(container)
        assert container in heard.containers()
        heard.source.check()
        wait_until(lambda: heard.containers() == set(), 10, lambda: str(heard.events))


def test_a_replaced_socket_leads_to_the_new_engine(
    heard: Heard, private_engine: PrivateEngine, other_container: Callable[..., str]
) -> None:
    first = other_container(private_engine)
    wait_until(lambda: first in heard.containers(), 10)
    other = PrivateEngine()
    try:
        other.start()
        os.rename(private_engine.socket, f"{private_engine.socket}.old")
        os.symlink(other.socket, private_engine.socket)
        second = other_container(other)
        heard.source.check()
        wait_until(lambda: heard.containers() == {second}, 20, lambda: str(heard.events))
        other.remove_container(second)
    finally:
        os.replace(f"{private_engine.socket}.old", private_engine.socket)
        other.remove()


def test_nothing_is_asked_while_nothing_is_known(heard: Heard) -> None:
    before = len(heard.events)
    heard.source.check()
    assert heard.source._checking is None
    assert len(heard.events) == before


def test_an_engine_that_accepts_and_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from taowatch.sources import docker

    monkeypatch.setattr(docker, "_TIMEOUT", 0.3)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        told: list[events.Event] = []
        source = DockerSource({"DOCKER_HOST": f"unix://{path}"}, told.append, lambda _: None)
        source.start()
        wait_until(lambda: told, 10)
        source.stop()
    assert isinstance(told[0], events.EngineLost)
    assert "does not answer" in told[0].reason
