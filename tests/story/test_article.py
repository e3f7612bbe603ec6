"""The article's story with nothing faked: two notebooks, one mounts file, one training that runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.desktop import Notification, NotificationServer
from tests.support.engine import FINISH, Engine
from tests.support.kernels import NotebookKernel, mapping_cells, write_notebook
from tests.support.launcher import Launcher
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

HOOK = f'eval "$({shlex.quote(sys.executable)} -m taowatch hook bash)"'
DESTINATION = "/workspace/tao-experiments"


class Story:
    """The stage: a daemon, two notebooks with their kernels, the first one's training, and a shell with the hook."""

    def __init__(
        self,
        home: Path,
        daemon: Callable[..., Daemon],
        kernel: Callable[..., NotebookKernel],
        launcher: Callable[..., Launcher],
        terminal: Callable[..., Terminal],
    ) -> None:
        self.mounts_file = home / ".tao_mounts.json"
        self.daemon = daemon()
        wait_until(lambda: self.daemon.snapshot()["daemon"]["docker"] == "connected", 10, "Docker")
        self.first, self.second = (
            self._notebook(home / "tao/detectnet_v2"),
            self._notebook(home / "tao/yolo_v4"),
        )
        self.kernels = [kernel(self.first), kernel(self.second)]
        self._map(0)
        self.first_mapping = self.mounts_file.read_bytes()
        self.training = launcher("model", "dino", "train", "-e", "/workspace/x.yaml", cwd=self.first.parent)
        self.container = self.training.wait_for_container()
        wait_until(lambda: [j["command"] for j in self.jobs()] == ["dino train"], 10, "the job")
        self.shell = terminal("bash", rcfile_text=HOOK)

    def _notebook(self, directory: Path) -> Path:
        directory.mkdir(parents=True)
        return write_notebook(directory / f"{directory.name}.ipynb", mapping_cells(directory))

    def _map(self, number: int) -> None:
        self.kernels[number].run_cell(0)
        self.kernels[number].run_cell(1)

    def jobs(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.daemon.snapshot()["jobs"]
        return found

    def overwrite(self, notifications: NotificationServer) -> Notification:
        self._map(1)
        self.second_mapping = self.mounts_file.read_bytes()
        assert self.second_mapping != self.first_mapping
        # Within a second, and with the culprit's name, which comes with the first message already.
        return notifications.wait_for(lambda n: "yolo_v4.ipynb" in n.body, timeout=1)


@pytest.fixture
def story(
    home: Path,
    notifications: NotificationServer,
    daemon: Callable[..., Daemon],
    kernel: Callable[..., NotebookKernel],
    launcher: Callable[..., Launcher],
    terminal: Callable[..., Terminal],
) -> Story:
    return Story(home, daemon, kernel, launcher, terminal)


def test_the_overwrite_is_told_everywhere_and_undone(story: Story, notifications: NotificationServer) -> None:
    assert story.shell.prompt() == ""
    shown = story.overwrite(notifications)

    assert shown.hints["urgency"] == 2
    assert shown.actions == {"restore": "Restore", "keep": "Keep"}
    assert "dino train of detectnet_v2.ipynb" in shown.summary
    assert f"{DESTINATION} now leads to ~/tao/yolo_v4, was ~/tao/detectnet_v2" in shown.body
    assert "The running job is safe" in shown.body
    assert "Its next tao command is not" in shown.body

    said = story.shell.prompt()
    assert f"yolo_v4.ipynb (pid {story.kernels[1].pid}) wrote ~/.tao_mounts.json" in said
    assert story.shell.prompt() == "", "once in each shell is enough"
    assert f"{DESTINATION} of dino train now leads to" in story.daemon.command("status").stdout
    assert story.daemon.command("status", "--exit-code").returncode == 1

    notifications.invoke_action(shown.id, "restore")
    wait_until(lambda: story.mounts_file.read_bytes() == story.first_mapping, 5, "the restored mapping")
    _all_quiet(story, notifications)
    assert story.shell.prompt() == "taowatch: the conflict is over"
    assert story.shell.prompt() == ""

    assert story.daemon.command("restore").returncode == 0
    assert story.mounts_file.read_bytes() == story.second_mapping
    wait_until(lambda: story.daemon.snapshot()["conflicts"], 5, "the conflict, which the user wanted")


def test_the_command_restores_too(story: Story, notifications: NotificationServer) -> None:
    story.overwrite(notifications)
    done = story.daemon.command("restore")
    assert done.returncode == 0, done.stderr
    assert story.mounts_file.read_bytes() == story.first_mapping
    _all_quiet(story, notifications)


def test_what_is_kept_is_told_no_more_but_not_forgotten(story: Story, notifications: NotificationServer) -> None:
    shown = story.overwrite(notifications)
    notifications.invoke_action(shown.id, "keep")
    wait_until(lambda: not notifications.open, 5, "the end of the notification")
    # The server closes it at the click, before the daemon has heard of the choice.
    conflicts = wait_until(lambda: _all_kept(story), 5, "the choice in the status")
    assert {conflict["kind"] for conflict in conflicts} == {"remapped", "removed"}
    assert "conflict" not in story.shell.prompt()


def _all_kept(story: Story) -> list[dict[str, Any]]:
    conflicts: list[dict[str, Any]] = story.daemon.status()["conflicts"]
    return conflicts if all(conflict["kept"] for conflict in conflicts) else []


def test_nothing_remains_when_the_training_ends(story: Story, notifications: NotificationServer) -> None:
    story.overwrite(notifications)
    (story.first.parent / FINISH).touch()
    assert story.training.wait() == 0
    wait_until(lambda: not story.jobs(), 15, "the end of the job")
    _all_quiet(story, notifications)


def test_status_sees_the_same_without_a_daemon(story: Story, notifications: NotificationServer) -> None:
    story.overwrite(notifications)
    with_daemon = story.daemon.status()
    story.daemon.stop()
    without = story.daemon.status()
    assert not without["daemon"]["running"]
    assert _told(without) == _told(with_daemon)


def test_the_notebook_and_job_are_named_in_status(story: Story, docker_engine: Engine) -> None:
    document = story.daemon.status()
    (job,) = document["jobs"]
    assert job["id"] == story.container[:12]
    assert job["notebook"] == str(story.first)
    assert job["project"] == str(story.first.parent)
    assert job["pid"] == story.training.pid
    assert {m["destination"]: m["source"] for m in job["mounts"]} == docker_engine.binds(story.container)
    assert document["mounts_file"]["owner"]["notebook"] == str(story.first)
    assert document["mounts_file"]["owner"]["pid"] == story.kernels[0].pid


def _all_quiet(story: Story, notifications: NotificationServer) -> None:
    wait_until(lambda: not notifications.open, 5, "the end of the notification")
    wait_until(lambda: not story.daemon.status()["conflicts"], 5, "the end of the conflict")
    assert story.daemon.command("status", "--exit-code").returncode == 0


def _told(document: dict[str, list[dict[str, object]]]) -> list[tuple[object, ...]]:
    return [(c["kind"], c["destination"], c["expected"], c["actual"]) for c in document["conflicts"]]
