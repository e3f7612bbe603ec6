"""An evening of ordinary work in two notebooks: not one false alarm."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer
from tests.support.engine import FINISH, Engine
from tests.support.kernels import NotebookKernel, mapping_cells, write_notebook
from tests.support.launcher import Launcher
from tests.support.waiting import wait_until

COMMON = "/workspace/tao-experiments"
RUN = (sys.executable, "-m", "taowatch", "run", "--")


class Evening:
    """Two people's worth of notebooks, kernels and commands in one home."""

    def __init__(
        self,
        home: Path,
        daemon: Daemon,
        kernel: Callable[..., NotebookKernel],
        launcher: Callable[..., Launcher],
        engine: Engine,
    ) -> None:
        self.daemon, self.launcher, self.engine = daemon, launcher, engine
        self.file = home / ".tao_mounts.json"
        self.kernels: dict[Path, NotebookKernel] = {}
        for name in ("detectnet_v2", "yolo_v4"):
            directory = home / "tao" / name
            self.kernels[directory] = kernel(write_notebook(directory / f"{name}.ipynb", mapping_cells(directory)))

    def run_cells(self, directory: Path, times: int = 1) -> None:
        for _ in range(times):
            self.kernels[directory].run_cell(0)
            self.kernels[directory].run_cell(1)
        wait_until(
            lambda: self.snapshot()["mounts_file"]["mounts"][:1] == [{"source": str(directory), "destination": COMMON}],
            5,
            "the mapping",
        )

    def download(self, directory: Path) -> None:
        data = directory / "data/images"
        data.mkdir(parents=True, exist_ok=True)
        for number in range(500):
            (data / f"{number}.jpg").write_bytes(b"image")

    def task(self, directory: Path, subtask: str, through: tuple[str, ...] = ()) -> Launcher:
        (directory / FINISH).unlink(missing_ok=True)
        command = self.launcher("model", "dino", subtask, "-e", "/x.yaml", cwd=directory, through=through)
        container = command.wait_for_container()
        assert self.engine.binds(container)[COMMON] == str(directory), "on its own folders"
        wait_until(lambda: container[:12] in {job["id"] for job in self.snapshot()["jobs"]}, 10, "the job")
        return command

    def finish(self, directory: Path, command: Launcher) -> None:
        (directory / FINISH).touch()
        command.wait()

    def snapshot(self) -> dict[str, Any]:
        return self.daemon.snapshot()


def test_an_evening_of_ordinary_work(
    home: Path,
    notifications: NotificationServer,
    daemon: Callable[..., Daemon],
    kernel: Callable[..., NotebookKernel],
    launcher: Callable[..., Launcher],
    docker_engine: Engine,
) -> None:
    started = daemon()
    wait_until(lambda: started.snapshot()["daemon"]["docker"] == "connected", 10, "Docker")
    evening = Evening(home, started, kernel, launcher, docker_engine)
    first, second = evening.kernels

    # The first notebook: cells run again and again, before and while it trains; data come and results are written.
    evening.run_cells(first, times=2)
    evening.download(first)
    training = evening.task(first, "train")
    evening.run_cells(first, times=2)
    (first / "results").mkdir()
    (first / "results/model.tlt").write_bytes(b"weights")
    written_otherwise = json.loads(evening.file.read_text())
    written_otherwise["Mounts"].reverse()
    evening.file.write_text(json.dumps(written_otherwise))
    evening.finish(first, training)
    evening.finish(first, evening.task(first, "evaluate"))

    # Then the second one, when nothing of the first runs any more.
    evening.run_cells(second)
    evening.finish(second, evening.task(second, "train"))
    evening.finish(second, evening.task(second, "evaluate"))

    # Then both at once, each on its own mounts file, while their notebooks write the common one in turns.
    for directory in (first, second):
        assert started.command("init", str(directory)).returncode == 0
    trainings = {}
    for directory in (first, second):
        evening.run_cells(directory)
        trainings[directory] = evening.task(directory, "train", through=RUN)
    evening.run_cells(first)
    evening.run_cells(second)
    for directory, training in trainings.items():
        evening.finish(directory, training)
    evening.finish(first, evening.task(first, "evaluate", through=RUN))

    assert [call.summary for call in notifications.calls] == []
    assert "conflict" not in started.log
