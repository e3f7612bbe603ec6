"""The engine is the one that the docker program itself would ask."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from taowatch.core.events import EngineLost, Event
from taowatch.sources import docker_endpoint
from taowatch.sources.docker import DockerSource
from taowatch.sources.docker_endpoint import DEFAULT, resolve
from tests.support.waiting import wait_until


@pytest.fixture
def docker_home(home: Path, environment: dict[str, str]) -> Path:
    """A user with a context that is theirs, and another one."""
    for name, host in (("mine", "unix:///run/mine.sock"), ("far", "ssh://far.example")):
        meta = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        meta.parent.mkdir(parents=True)
        meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    (home / ".docker/config.json").write_text('{"currentContext": "mine"}')
    return home


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"DOCKER_HOST": "unix:///x", "DOCKER_CONTEXT": "far"}, "unix:///x"),
        ({"DOCKER_HOST": "tcp://far:2376"}, "tcp://far:2376"),
        ({"DOCKER_CONTEXT": "far"}, "ssh://far.example"),
        ({}, "unix:///run/mine.sock"),
        ({"DOCKER_CONTEXT": "default"}, DEFAULT),
        ({"DOCKER_CONTEXT": "gone"}, "context://gone"),
        ({"DOCKER_CONFIG": "/nonexistent"}, DEFAULT),
    ],
)
def test_the_choice(docker_home: Path, environment: dict[str, str], variables: dict[str, str], url: str) -> None:
    assert resolve({**environment, **variables}).url == url


@pytest.mark.requires("docker")
@pytest.mark.parametrize("context", ["mine", "far", "default"])
def test_the_docker_program_agrees(docker_home: Path, environment: dict[str, str], context: str) -> None:
    told = {**environment, "DOCKER_CONTEXT": context}
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    said = subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout.strip()
    assert resolve(told).url == said


def test_a_rootless_engine_where_the_systems_cannot_be_asked(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rootless = f"{environment['XDG_RUNTIME_DIR']}/docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(rootless)
        monkeypatch.setattr(docker_endpoint, "DEFAULT", "unix:///nonexistent/docker.sock")
        assert resolve(environment).url == f"unix://{rootless}"
        # The launcher insists on the system's socket: where that can be used, it is the one to watch.
        system = f"{environment['XDG_RUNTIME_DIR']}/system.sock"
        Path(system).touch()
        monkeypatch.setattr(docker_endpoint, "DEFAULT", f"unix://{system}")
        assert resolve(environment).url == f"unix://{system}"
        os.unlink(system)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DOCKER_HOST": "tcp://192.0.2.1:2376"}, "remote engine tcp://192.0.2.1:2376: path checks off"),
        ({"DOCKER_CONTEXT": "gone"}, "DOCKER_CONTEXT gone names no engine"),
        ({"DOCKER_HOST": "unix:///nonexistent"}, "no Docker engine at /nonexistent"),
    ],
)
def test_why_no_engine_is_asked(environment: dict[str, str], variables: dict[str, str], said: str) -> None:
    told: list[Event] = []
    source = DockerSource({**environment, **variables}, told.append, lambda _: None)
    source.start()
    wait_until(lambda: told, 10)
    source.stop()
    assert isinstance(told[0], EngineLost)
    assert said in told[0].reason
