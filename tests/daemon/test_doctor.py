"""The doctor, for a machine with nothing and for one with everything."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taowatch.commands.docker_check import docker
from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer
from tests.support.waiting import wait_until


def examined(daemon: Daemon) -> dict[str, dict[str, Any]]:
    done = daemon.command("doctor", "--json")
    document = json.loads(done.stdout)
    assert document["version"] == 1
    assert done.returncode == (0 if document["ok"] else 1)
    return {check["name"]: check for check in document["checks"]}


def states(daemon: Daemon) -> dict[str, str]:
    return {name: check["state"] for name, check in examined(daemon).items()}


def test_what_is_broken_is_said_with_the_command_that_mends_it(environment: dict[str, str], home: Path) -> None:
    environment["SHELL"] = "/bin/bash"
    (home / ".tao_mounts.json").write_text("{")
    nobody = Daemon(environment, {"DOCKER_HOST": "unix:///nonexistent"})
    found = examined(nobody)
    for name in ("daemon", "hook", "mounts file"):
        assert found[name]["state"] == "broken"
        assert found[name]["mend"].startswith("taowatch")
    assert found["desktop"]["state"] == "note"
    text = nobody.command("doctor")
    assert text.returncode == 1
    assert "mend: taowatch install" in text.stdout


def test_what_works_is_said_too(
    environment: dict[str, str],
    home: Path,
    daemon: Callable[..., Daemon],
    notifications: NotificationServer,
) -> None:
    environment["SHELL"] = "/bin/bash"
    (home / ".bashrc").write_text('eval "$(taowatch hook bash)"\n')
    running = daemon()
    found = states(running)
    assert {
        found[name] for name in ("python", "daemon", "hook", "desktop", "inotify", "home", "state", "mounts file")
    } == {"ok"}
    status = Path(environment["XDG_RUNTIME_DIR"]) / "taowatch/status.json"
    wait_until(lambda: "not asked yet" not in status.read_text(), 15, "all that changes the snapshot by itself")
    status.write_text(status.read_text().replace('"taowatch": "', '"taowatch": "0.0.'))
    assert "is of version" in examined(running)["daemon"]["reason"]


def test_docker_is_told_apart(environment: dict[str, str], tmp_path: Path) -> None:
    path = Path(environment["XDG_RUNTIME_DIR"]) / "s"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        found = examined(Daemon(environment, {"DOCKER_HOST": f"unix://{path}"}))["docker"]
    assert found["state"] == "broken"
    assert "does not answer" in found["reason"]
    remote = examined(Daemon(environment, {"DOCKER_HOST": "tcp://192.0.2.1:1"}))["docker"]
    assert remote["state"] == "note"
    assert "another machine's" in remote["reason"]
    assert os.path.exists(path)


def test_the_launcher_is_known_by_its_package(environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "venv/bin/tao"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    package = tmp_path / "venv/lib/python3.10/site-packages"
    for version, state in (("6.26.3", "ok"), ("7.0", "note"), ("5.5.1.1", "ok")):
        directory = package / f"nvidia_tao-{version}.dist-info"
        directory.mkdir(parents=True)
        found = examined(Daemon(environment, {"PATH": f"{program.parent}:{environment['PATH']}"}))["launcher"]
        assert (found["state"], version in found["reason"]) == (state, True), found
        directory.rmdir()


def test_a_group_that_is_not_active_yet_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "docker.sock"
    path.touch()
    group = path.stat().st_gid
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "getgroups", list)
    for groups, said in (([group], "this session began before"), ([], "as powerful as root")):
        monkeypatch.setattr(os, "getgrouplist", lambda *_, groups=groups: groups)
        found = docker({"DOCKER_HOST": f"unix://{path}"})
        assert (found.state, said in found.reason) == ("broken", True), found
        assert "chmod" not in found.mend
