"""Each real part is started once and does its job, so that a failure elsewhere is not the harness's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dbus_fast import Variant

from tests.support.desktop import DISMISSED, NotificationServer, SessionBus, call_notifications
from tests.support.engine import FINISH, FOREIGN_IMAGE, Engine, PrivateEngine
from tests.support.kernels import NotebookKernel, mapping_cells, write_notebook
from tests.support.launcher import Launcher
from tests.support.sandbox import real_homes, stamps_of, touched
from tests.support.terminal import Terminal
from tests.support.waiting import TooLate, wait_until


def test_the_sandbox_hides_the_real_home(home: Path, environment: dict[str, str]) -> None:
    seen = subprocess.run(["env"], env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"HOME={home}" in seen
    assert not [line for line in seen if line.startswith(("LAUNCHER_MOUNTS=", "DBUS_", "DISPLAY=", "DOCKER_HOST="))]
    assert home not in real_homes() - {Path(os.environ["HOME"])}
    assert Path(environment["XDG_RUNTIME_DIR"]).stat().st_mode & 0o777 == 0o700


def test_the_guard_sees_a_change(tmp_path: Path) -> None:
    before = stamps_of([tmp_path])
    assert touched(before) == []
    (tmp_path / ".tao_mounts.json").write_text("{}")
    assert touched(before) == [tmp_path / ".tao_mounts.json"]


def test_waiting_has_a_deadline() -> None:
    with pytest.raises(TooLate, match="never"):
        wait_until(lambda: False, 0.05, "never")


def test_the_launcher_trains_on_the_mounts_of_the_scratch_home(
    launcher: Callable[..., Launcher], docker_engine: Engine, home: Path, tmp_path: Path
) -> None:
    (home / ".tao_mounts.json").write_text(
        json.dumps({"Mounts": [{"source": str(tmp_path), "destination": "/workspace/tao-experiments"}]})
    )
    tao = launcher("model", "dino", "train", "-e", "/workspace/x.yaml", cwd=tmp_path)
    container = tao.wait_for_container()
    assert docker_engine.binds(container) == {"/workspace/tao-experiments": str(tmp_path)}
    assert "stand-in: dino train -e /workspace/x.yaml" in tao.output
    tao.stop()
    assert container not in docker_engine.running()


def test_a_training_ends_by_itself(launcher: Callable[..., Launcher], docker_engine: Engine, tmp_path: Path) -> None:
    mounts = tmp_path / "own.json"
    mounts.write_text(json.dumps({"Mounts": [{"source": str(tmp_path), "destination": "/workspace/tao-experiments"}]}))
    tao = launcher("model", "yolo_v4", "train", LAUNCHER_MOUNTS=str(mounts))
    container = tao.wait_for_container()
    (tmp_path / FINISH).touch()
    assert tao.wait() == 0
    assert "stand-in: finished" in tao.output
    wait_until(lambda: not docker_engine.exists(container), 10, "the container's removal")


def test_a_container_is_run_by_hand(docker_engine: Engine, other_container: Callable[..., str], tmp_path: Path) -> None:
    container = other_container(docker_engine, image=FOREIGN_IMAGE, binds={tmp_path: "/data"})
    assert docker_engine.binds(container) == {"/data": str(tmp_path)}
    assert docker_engine.docker("exec", container, "ls", "/data") != ""


def test_a_private_engine_comes_back(private_engine: PrivateEngine, other_container: Callable[..., str]) -> None:
    container = other_container(private_engine)
    assert container in private_engine.running()
    private_engine.restart()
    assert private_engine.running() == set()
    private_engine.stop(signal.SIGKILL)
    private_engine.start()
    assert other_container(private_engine) in private_engine.running()
    private_engine.stop(signal.SIGKILL)


def test_a_private_engine_leaves_the_machines_network_alone(requires: Callable[..., None]) -> None:
    requires("private-docker")
    before = _bridges()
    engine = PrivateEngine()
    try:
        engine.start()
        assert _bridges() == before
    finally:
        engine.remove()
    assert _bridges() == before
    assert not engine.directory.exists()


def _bridges() -> set[str]:
    return {path.parent.name for path in Path("/sys/class/net").glob("*/bridge")}


def test_a_kernel_writes_its_notebooks_mapping(
    kernel: Callable[..., NotebookKernel], home: Path, tmp_path: Path
) -> None:
    project = tmp_path / "yolo_v4"
    notebook = write_notebook(project / "yolo_v4.ipynb", mapping_cells(project))
    running = kernel(notebook)
    running.run_cell(0)
    running.run_cell(1)
    written = json.loads((home / ".tao_mounts.json").read_text())["Mounts"]
    assert {mount["destination"]: mount["source"] for mount in written} == {
        "/workspace/tao-experiments": str(project),
        "/workspace/tao-experiments/yolo_v4/specs": str(project / "specs"),
    }
    assert running.run("import os; print(os.getpid(), os.environ['JPY_SESSION_NAME'])").split() == [
        str(running.pid),
        str(notebook),
    ]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        running.run("1 / 0")


def _notify(bus: SessionBus, replaces: int, summary: str) -> int:
    hints = {"urgency": Variant("y", 2)}
    body = ["tests", replaces, "", summary, "body", ["keep", "Keep"], hints, 0]
    return int(call_notifications(bus.address, "Notify", "susssasa{sv}i", body)[0])


def test_the_notification_server_records_and_replaces(bus: SessionBus, notifications: NotificationServer) -> None:
    first = _notify(bus, 0, "one")
    assert _notify(bus, first, "two") == first
    seen = notifications.wait_for(lambda call: call.summary == "two")
    assert (seen.hints, seen.actions, seen.replaces_id) == ({"urgency": 2}, {"keep": "Keep"}, first)
    assert list(notifications.open) == [first]
    call_notifications(bus.address, "CloseNotification", "u", [first])
    assert notifications.close_calls == [first]
    assert notifications.open == {}


SIGNALS = """
import asyncio
from dbus_fast.aio import MessageBus
async def main():
    bus = await MessageBus().connect()
    node = await bus.introspect("org.freedesktop.Notifications", "/org/freedesktop/Notifications")
    proxy = bus.get_proxy_object("org.freedesktop.Notifications", "/org/freedesktop/Notifications", node)
    service, ended = proxy.get_interface("org.freedesktop.Notifications"), asyncio.Event()
    service.on_action_invoked(lambda id, key: print("action", id, key, flush=True))
    service.on_notification_closed(lambda id, reason: (print("closed", id, reason, flush=True), ended.set()))
    id = await service.call_notify("tests", 0, "", "pressed", "", ["keep", "Keep"], {}, 0)
    await ended.wait()
asyncio.run(main())
"""


def test_a_pressed_button_reaches_the_sender(notifications: NotificationServer, environment: dict[str, str]) -> None:
    client = subprocess.Popen([sys.executable, "-c", SIGNALS], env=environment, stdout=subprocess.PIPE, text=True)
    shown = notifications.wait_for(lambda call: call.summary == "pressed")
    notifications.invoke_action(shown.id, "keep")
    assert client.communicate(timeout=10)[0].splitlines() == [
        f"action {shown.id} keep",
        f"closed {shown.id} {DISMISSED}",
    ]


def test_bus_and_server_come_back(bus: SessionBus, notifications: NotificationServer) -> None:
    notifications.stop()
    bus.restart()
    notifications.start()
    assert _notify(bus, 0, "again") in notifications.open


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_runs_commands(terminal: Callable[..., Terminal], shell: str, tmp_path: Path) -> None:
    opened = terminal(shell, cwd=tmp_path, MARK="set")
    assert opened.run("echo one; echo two") == "one\ntwo"
    assert opened.run("pwd") == str(tmp_path)
    assert opened.prompt() == ""
    assert opened.run("true") == ""
    assert opened.value("MARK") == "set"
    assert opened.value("NO_SUCH_VARIABLE") is None
    long = "x" * 500
    assert opened.run(f"echo {long} | wc -c").strip() == "501"


HOOKS = {
    "bash": "PROMPT_COMMAND='echo hooked'",
    "zsh": "precmd() { echo hooked }",
    "fish": "function h --on-event fish_prompt; echo hooked; end",
}


@pytest.mark.parametrize("shell", HOOKS)
def test_what_a_hook_prints_is_seen(terminal: Callable[..., Terminal], shell: str) -> None:
    opened = terminal(shell, rcfile_text=HOOKS[shell])
    assert opened.greeting == "hooked"
    assert opened.prompt() == "hooked"
    assert opened.run("echo out") == "out\nhooked"
