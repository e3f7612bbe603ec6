"""The installed service under a real systemd user manager."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.launcher import Launcher
from tests.support.service_manager import UserManager
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requires("systemd")
UNIT = "taowatch.service"


def files_in(*tops: Path) -> set[str]:
    return {str(path) for top in tops for path in top.rglob("*")}


def write_mapping(home: Path, project: Path) -> None:
    project.mkdir(exist_ok=True)
    mounts = [{"source": str(project), "destination": "/workspace/tao-experiments"}]
    (home / ".tao_mounts.json").write_text(json.dumps({"Mounts": mounts}))


def status(manager: UserManager) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manager.taowatch("status", "--json").stdout)
    return found


def pid_of(manager: UserManager) -> int:
    return int(manager.show(UNIT, "MainPID")["MainPID"])


def conflicts(manager: UserManager) -> list[tuple[str, str]]:
    document = status(manager)
    return [(c["kind"], c["actual"]) for c in document["conflicts"]] if document["daemon"]["running"] else []


def test_the_story_of_a_service(
    manager: UserManager,
    home: Path,
    sandbox: Any,
    launcher: Callable[..., Launcher],
    docker_engine: Engine,
) -> None:
    (home / ".config").mkdir(exist_ok=True)
    (home / ".bashrc").write_text("# mine\n")
    before = files_in(home)
    installed = manager.taowatch("install")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert manager.show(UNIT, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    assert "taowatch' hook bash" in (home / ".bashrc").read_text()

    first, second, third = home / "one", home / "two", home / "three"
    write_mapping(home, first)
    job = launcher("model", "detectnet_v2", "train", cwd=first)
    job.wait_for_container()
    wait_until(lambda: status(manager)["jobs"], 15, lambda: f"the job: {manager.log[-2000:]}", pause=0.1)
    write_mapping(home, second)
    wait_until(lambda: conflicts(manager) == [("remapped", str(second))], 10, lambda: str(status(manager)), pause=0.1)

    killed = pid_of(manager)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: pid_of(manager) not in (0, killed), 20, "the restart", pause=0.1)
    wait_until(lambda: conflicts(manager) == [("remapped", str(second))], 10, lambda: str(status(manager)), pause=0.1)
    write_mapping(home, third)
    wait_until(lambda: conflicts(manager) == [("remapped", str(third))], 10, lambda: str(status(manager)), pause=0.1)

    assert manager.systemctl("reload", UNIT).returncode == 0
    assert manager.show(UNIT, "ActiveState")["ActiveState"] == "active"
    job.stop()
    removed = manager.taowatch("uninstall")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    left = files_in(home) - before
    state = home / ".local/state/taowatch"
    own = {str(state), str(home / ".tao_mounts.json"), *map(str, (first, second, third))}
    assert {path for path in left if path not in own and not path.startswith(f"{state}/")} <= {
        str(home / ".docker"),
        str(home / ".docker/config.json"),
    }
    assert not (sandbox.runtime / "taowatch").exists()
    assert manager.show(UNIT, "LoadState")["LoadState"] == "not-found"
    assert (home / ".bashrc").read_text() == "# mine\n"
    assert manager.taowatch("uninstall", "--purge").returncode == 0
    assert not state.exists()


def test_installing_again_changes_nothing(manager: UserManager, home: Path) -> None:
    first = manager.taowatch("install", "--dry-run")
    assert not (home / ".config/systemd").exists()
    assert "+ExecStart=" in first.stdout
    assert manager.taowatch("install").returncode == 0
    pid, files = pid_of(manager), files_in(home)
    again = manager.taowatch("install")
    assert "Everything is in place." in again.stdout
    assert pid_of(manager) == pid
    assert files_in(home) == files
    assert manager.taowatch("uninstall").returncode == 0


def test_an_upgrade_restarts_the_service(manager: UserManager, home: Path, sandbox: Any) -> None:
    assert manager.taowatch("install").returncode == 0
    pid = pid_of(manager)
    snapshot = sandbox.runtime / "taowatch/status.json"
    wait_until(lambda: "not asked yet" not in snapshot.read_text(), 15, "all that changes the snapshot by itself")
    snapshot.write_text(snapshot.read_text().replace('"taowatch": "', '"taowatch": "0.0.'))
    assert "systemctl --user restart" in manager.taowatch("install").stdout
    assert pid_of(manager) not in (0, pid)
    assert manager.taowatch("uninstall").returncode == 0


def test_a_daemon_started_by_hand_makes_room(manager: UserManager, daemon: Callable[..., Any]) -> None:
    by_hand = daemon()
    assert manager.taowatch("install").returncode == 0
    assert by_hand.process.wait(10) == 0
    assert pid_of(manager) not in (0, by_hand.pid)
    assert manager.taowatch("uninstall").returncode == 0


def test_a_hung_daemon_is_started_again(manager: UserManager, home: Path) -> None:
    assert manager.taowatch("install").returncode == 0
    short = home / ".config/systemd/user/taowatch.service.d/short.conf"
    short.parent.mkdir()
    short.write_text("[Service]\nWatchdogSec=2\nRestartSec=0\n")
    manager.systemctl("daemon-reload")
    manager.systemctl("restart", UNIT)
    hung = pid_of(manager)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3, 5, "three seconds in which nothing happens")
    assert pid_of(manager) == hung, "a healthy daemon pings"
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: pid_of(manager) not in (0, hung), 20, "another daemon", pause=0.1)
    short.unlink()
    short.parent.rmdir()
    assert manager.taowatch("uninstall").returncode == 0


def test_the_hardening_is_what_a_user_manager_grants(manager: UserManager) -> None:
    assert manager.taowatch("install").returncode == 0
    facts = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid_of(manager)}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    # A user namespace would take the reading of other processes away, so nothing may ask for one.
    assert os.readlink(f"/proc/{pid_of(manager)}/ns/user") == os.readlink("/proc/self/ns/user")
    exposure = manager.run("systemd-analyze", "--user", "security", UNIT, "--no-pager").stdout
    level = float(exposure.rpartition("level for taowatch.service: ")[2].split()[0])
    assert level <= 6.2, exposure
    for granted in ("MemoryDenyWriteExecute=", "ProtectHostname="):
        assert f"✓ {granted}" in exposure
    verified = manager.run("systemd-analyze", "--user", "verify", UNIT)
    unknown = [line for line in verified.stderr.splitlines() if UNIT in line and "Restart" not in line]
    assert not unknown
    assert manager.taowatch("uninstall").returncode == 0


def test_bad_configuration_is_not_tried_again(manager: UserManager, home: Path) -> None:
    assert manager.taowatch("install").returncode == 0
    dropin = home / ".config/systemd/user/taowatch.service.d/bad.conf"
    dropin.parent.mkdir()
    dropin.write_text("[Service]\nExecStart=\nExecStart=/bin/sh -c 'exit 78'\nRestartSec=0\n")
    manager.systemctl("daemon-reload")
    assert manager.systemctl("restart", UNIT).returncode != 0
    assert manager.show(UNIT, "ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}
    # Any other failure is, and never given up.
    dropin.write_text("[Service]\nExecStart=\nExecStart=/bin/sh -c 'exit 1'\nRestartSec=0.05\n")
    manager.systemctl("daemon-reload")
    manager.systemctl("restart", UNIT)
    wait_until(lambda: int(manager.show(UNIT, "NRestarts")["NRestarts"]) > 12, 20, "more restarts than a limit allows")
    dropin.unlink()
    dropin.parent.rmdir()
    assert manager.taowatch("uninstall").returncode == 0


def test_what_was_installed_goes_without_the_manager_too(manager: UserManager, home: Path) -> None:
    before = files_in(home / ".config")
    assert manager.taowatch("install").returncode == 0
    manager.stop()
    command = [sys.executable, "-m", "taowatch", "uninstall", "--purge"]
    done = subprocess.run(command, env=manager.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_in(home / ".config") == before
    assert not (home / ".bashrc").exists()
