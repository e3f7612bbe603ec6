"""The daemon as a process: one at a time, told to systemd, private, and whole after its end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.waiting import wait_until

KEYS = {
    "": {"version", "daemon", "mounts_file", "jobs", "conflicts", "projects"},
    "daemon": {"running", "pid", "since", "docker", "notifications"},
    "mounts_file": {"path", "state", "error", "revision", "written_at", "mounts", "owner"},
}


def test_status_has_the_keys_of_the_design(daemon: Callable[..., Daemon], home: Path) -> None:
    (home / "tao").mkdir()
    mounts = [{"source": str(home / "tao"), "destination": "/workspace"}]
    (home / ".tao_mounts.json").write_text(json.dumps({"Mounts": mounts}))
    running = daemon()
    wait_until(lambda: running.snapshot()["mounts_file"]["revision"] == 1, 5, "the first revision")
    document = running.status()
    running.stop()
    for found in (document, running.status()):
        assert KEYS[""] <= found.keys()
        assert KEYS["daemon"] <= found["daemon"].keys()
        assert KEYS["mounts_file"] <= found["mounts_file"].keys()
        assert found["version"] == 1
        assert found["mounts_file"]["state"] == "ok"
        assert found["mounts_file"]["mounts"] == mounts
        assert found["mounts_file"]["revision"] == 1
    assert document["daemon"]["running"]
    assert not found["daemon"]["running"]


def test_a_second_daemon_refuses(daemon: Callable[..., Daemon]) -> None:
    first = daemon()
    second = first.command("daemon")
    assert second.returncode == 1
    assert f"runs already (pid {first.pid})" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_it_ends_at_once_and_leaves_no_alert_behind(daemon: Callable[..., Daemon], environment: dict[str, str]) -> None:
    running = daemon()
    runtime = Path(environment["XDG_RUNTIME_DIR"]) / "taowatch"
    (runtime / "alert").write_text("1 1\n1 1 x\n")
    assert running.stop() == 0
    assert [path.name for path in runtime.iterdir()] == ["lock"]


def test_after_a_kill_the_next_one_starts(daemon: Callable[..., Daemon]) -> None:
    daemon().kill()
    again = daemon()
    assert again.status()["daemon"]["pid"] == again.pid


def test_what_it_writes_is_private(daemon: Callable[..., Daemon], home: Path, environment: dict[str, str]) -> None:
    (home / ".tao_mounts.json").write_text('{"Mounts": []}')
    running = daemon()
    wait_until(lambda: running.snapshot()["mounts_file"]["revision"] == 1, 5, "the first revision")
    running.stop()
    for top in (Path(environment["XDG_RUNTIME_DIR"]) / "taowatch", home / ".local/state/taowatch"):
        found = [top, *top.rglob("*")]
        assert found
        assert [str(path) for path in found if path.stat().st_mode & 0o077] == []


def test_secrets_go_nowhere(daemon: Callable[..., Daemon], home: Path) -> None:
    secret = "tellnoone"
    document = {"Mounts": [], "Envs": [{"variable": "WANDB_API_KEY", "value": secret}]}
    (home / ".tao_mounts.json").write_text(json.dumps(document))
    running = daemon()
    wait_until(lambda: running.snapshot()["mounts_file"]["revision"] == 1, 5, "the first revision")
    shown = [running.command(*words).stdout for words in (("status", "--json"), ("history",), ("diff",))]
    assert "WANDB_API_KEY" in shown[-1]
    assert secret not in "".join(shown) + running.log + json.dumps(running.snapshot())


def test_ready_is_told_only_when_the_file_was_read(environment: dict[str, str], home: Path) -> None:
    address = Path(environment["XDG_RUNTIME_DIR"]) / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(10)
        told = {**environment, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "400000"}
        process = subprocess.Popen([sys.executable, "-m", "taowatch", "daemon"], env=told, stderr=subprocess.DEVNULL)
        messages = []
        while not any(message.startswith("READY=1") for message in messages) or messages.count("WATCHDOG=1") < 3:
            messages.append(manager.recv(4096).decode())
        process.terminate()
        while "STOPPING=1" not in messages:
            messages.append(manager.recv(4096).decode())
        assert process.wait(10) == 0


def test_errors_are_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    for words, code in (
        (("hook", "tcsh"), 2),
        (("restore", "99"), 1),
        (("restore",), 1),
        (("env", str(tmp_path)), 1),
        (("allow", str(tmp_path / "gone")), 2),
        (("nonsense",), 2),
    ):
        command = [sys.executable, "-m", "taowatch", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == code, (words, done.stderr)
        assert "Traceback" not in done.stderr
        if words != ("nonsense",):
            assert len(done.stderr.splitlines()) == 1, done.stderr
