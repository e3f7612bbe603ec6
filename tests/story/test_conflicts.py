"""Every kind of conflict with nothing faked: real launchers, containers, kernels, bus and files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer
from tests.support.engine import FINISH, Engine, root_archive
from tests.support.kernels import NotebookKernel, mapping_cells, write_notebook
from tests.support.launcher import Launcher
from tests.support.registry import SlowRegistry
from tests.support.waiting import wait_until

TRAIN = ("model", "dino", "train", "-e", "/workspace/x.yaml")
COMMON = "/workspace/tao-experiments"
RUN = (sys.executable, "-m", "taowatch", "run", "--")


class Scene:
    """A daemon with desktop and engine, two project directories, and the one mounts file."""

    def __init__(self, home: Path, daemon: Daemon, launcher: Callable[..., Launcher]) -> None:
        self.home, self.daemon, self.launcher = home, daemon, launcher
        self.file = home / ".tao_mounts.json"
        self.a, self.b = home / "tao/a", home / "tao/b"
        for directory in (self.a, self.b):
            (directory / "specs").mkdir(parents=True)
            write_notebook(directory / f"{directory.name}.ipynb", mapping_cells(directory))

    def mapping(self, directory: Path, **options: object) -> str:
        mounts = [
            {"source": str(directory), "destination": COMMON},
            {"source": str(directory / "specs"), "destination": f"{COMMON}/specs"},
        ]
        return json.dumps({"Mounts": mounts, **options})

    def write(self, directory: Path, **options: object) -> None:
        self.file.write_text(self.mapping(directory, **options))

    def train(self, directory: Path, through: Sequence[str] = ()) -> Launcher:
        """A training that runs, as the daemon knows."""
        training = self.launcher(*TRAIN, cwd=directory, through=through)
        container = training.wait_for_container()
        wait_until(lambda: container[:12] in {job["id"] for job in self.jobs()}, 10, self.explain)
        return training

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.daemon.snapshot().get("jobs", []))

    def conflicts(self) -> set[tuple[str, str]]:
        return {(c["kind"], c["severity"]) for c in self.daemon.snapshot().get("conflicts", [])}

    def until(self, *expected: tuple[str, str], timeout: float = 10) -> None:
        wait_until(lambda: self.conflicts() == set(expected), timeout, self.explain)

    def explain(self) -> str:
        return json.dumps(self.daemon.snapshot(), indent=1) + self.daemon.log


@pytest.fixture
def scene(
    home: Path, notifications: NotificationServer, daemon: Callable[..., Daemon], launcher: Callable[..., Launcher]
) -> Scene:
    started = daemon()
    wait_until(lambda: started.snapshot()["daemon"]["docker"] == "connected", 10, "Docker")
    return Scene(home, started, launcher)


def test_remapped_and_back(scene: Scene, notifications: NotificationServer) -> None:
    scene.write(scene.a)
    scene.train(scene.a)
    scene.write(scene.b)
    scene.until(("remapped", "critical"))
    shown = notifications.wait_for(lambda n: "now leads to ~/tao/b" in n.body, timeout=5)
    assert shown.hints["urgency"] == 2
    scene.write(scene.a)
    scene.until()
    wait_until(lambda: not notifications.open, 5, "the end of the notification")


def test_removed(scene: Scene, notifications: NotificationServer) -> None:
    scene.write(scene.a)
    scene.train(scene.a)
    scene.file.unlink()
    scene.until(("removed", "critical"))
    notifications.wait_for(lambda n: "is no longer mapped" in n.body, timeout=5)


def test_invalid(scene: Scene, notifications: NotificationServer) -> None:
    scene.write(scene.a)
    scene.train(scene.a)
    scene.file.write_text('{"Mounts": [')
    scene.until(("invalid", "warning"))
    shown = notifications.wait_for(lambda n: "not JSON" in n.body, timeout=5)
    assert shown.hints["urgency"] == 1


def test_options_disturb_nobody(scene: Scene, notifications: NotificationServer) -> None:
    scene.write(scene.a)
    scene.train(scene.a)
    scene.write(scene.a, Envs=[{"variable": "WANDB_API_KEY", "value": "very secret"}])
    scene.until(("options", "info"))
    assert "Envs.WANDB_API_KEY" in scene.daemon.command("status").stdout
    assert "very secret" not in scene.daemon.command("status", "--json").stdout + scene.daemon.log
    assert notifications.open == {}
    assert scene.daemon.command("status", "--exit-code").returncode == 0


def test_a_source_that_is_moved_away_and_back(scene: Scene, notifications: NotificationServer) -> None:
    scene.write(scene.a)
    scene.train(scene.a)
    scene.a.rename(scene.a.with_name("elsewhere"))
    scene.until(("source-missing", "critical"))
    notifications.wait_for(lambda n: "was deleted, moved or replaced" in n.body, timeout=5)
    scene.a.with_name("elsewhere").rename(scene.a)
    scene.until()
    wait_until(lambda: not notifications.open, 5, "the end of the notification")


def test_a_source_that_is_deleted_and_made_anew_is_not_the_same(scene: Scene) -> None:
    scene.write(scene.a)
    scene.train(scene.a)
    shutil.rmtree(scene.a / "specs")
    (scene.a / "specs").mkdir()
    scene.until(("source-missing", "critical"))


def test_a_folder_that_is_made_after_its_mapping(scene: Scene) -> None:
    late = scene.home / "tao/late"
    scene.file.write_text(scene.mapping(late))
    wait_until(lambda: scene.daemon.snapshot()["mounts_file"]["state"] == "invalid", 5, scene.explain)
    (late / "specs").mkdir(parents=True)
    wait_until(lambda: scene.daemon.snapshot()["mounts_file"]["state"] == "ok", 5, scene.explain)


# --- hijacked -------------------------------------------------------------------------------------


@pytest.fixture
def paused(scene: Scene) -> Iterator[Launcher]:
    """A launcher of project A that has started and has not read the mounts file yet, as while an image is pulled."""
    scene.write(scene.a)
    training = scene.launcher(*TRAIN, cwd=scene.a)
    wait_until(lambda: training.pid in {job["pid"] for job in scene.jobs()}, 20, scene.explain)
    os.kill(training.pid, signal.SIGSTOP)
    yield training
    with_children = psutil.Process(training.pid) if psutil.pid_exists(training.pid) else None
    if with_children is not None:
        os.kill(training.pid, signal.SIGCONT)


def test_hijacked(scene: Scene, paused: Launcher, notifications: NotificationServer) -> None:
    (job,) = scene.jobs()
    assert (job["state"], job["command"]) == ("starting", "dino train"), "seen before there is a container"
    scene.write(scene.b)
    scene.until(("hijacked", "critical"))
    shown = notifications.wait_for(lambda n: "would lead to ~/tao/b, should be ~/tao/a" in n.body, timeout=5)
    assert f"kill {paused.pid}" in shown.body
    os.kill(paused.pid, signal.SIGCONT)
    container = paused.wait_for_container()
    shown = notifications.wait_for(lambda n: f"docker stop {container[:12]}" in n.body, timeout=10)
    assert f"{COMMON} leads to ~/tao/b, should be ~/tao/a" in shown.body
    scene.until(("hijacked", "critical"))
    (job,) = scene.jobs()
    assert job["state"] == "running"
    (scene.b / FINISH).touch()
    paused.wait()
    scene.until()


@pytest.fixture
def registry(docker_engine: Engine) -> Iterator[SlowRegistry]:
    """A registry that has the launcher's image, and takes its time."""
    slow = SlowRegistry(docker_engine.socket, root_archive())
    yield slow
    slow.stop()
    for image in docker_engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if image.startswith(f"{slow.name}/"):
            docker_engine.docker("rmi", "-f", image)


def test_a_launcher_that_waits_for_its_image_is_hijacked(
    scene: Scene, registry: SlowRegistry, docker_engine: Engine, notifications: NotificationServer
) -> None:
    scene.write(scene.a)
    training = scene.launcher(*TRAIN, cwd=scene.a, OVERRIDE_REGISTRY=registry.name)
    registry.wait_until_asked()
    scene.write(scene.b)
    shown = notifications.wait_for(lambda n: "would lead to ~/tao/b" in n.body, timeout=5)
    assert "The job is not safe" in shown.body
    registry.go_on()
    container = training.wait_for_container(60)
    assert docker_engine.binds(container)[COMMON] == str(scene.b)
    notifications.wait_for(lambda n: f"Stop it: docker stop {container[:12]}" in n.body, timeout=10)
    scene.until(("hijacked", "critical"))


def test_a_hijack_that_is_put_right_in_time(
    scene: Scene, paused: Launcher, docker_engine: Engine, notifications: NotificationServer
) -> None:
    scene.write(scene.b)
    held = scene.mapping(scene.a)
    shown = notifications.wait_for(lambda n: "would lead to" in n.body, timeout=5)
    scene.until(("hijacked", "critical"))
    notifications.invoke_action(shown.id, "restore")
    wait_until(lambda: scene.file.read_text() == held, 5, scene.explain)
    scene.until()
    os.kill(paused.pid, signal.SIGCONT)
    container = paused.wait_for_container()
    assert docker_engine.binds(container)[COMMON] == str(scene.a)
    wait_until(lambda: [job["state"] for job in scene.jobs()] == ["running"], 10, scene.explain)
    assert scene.conflicts() == set()


# --- whose job ------------------------------------------------------------------------------------


def test_what_is_not_ours_is_seen_and_never_a_conflict(
    scene: Scene, docker_engine: Engine, other_container: Callable[..., str], notifications: NotificationServer
) -> None:
    others = scene.home.parent / "others"
    others.mkdir()
    scene.write(scene.a)
    foreign = other_container(docker_engine, binds={others: COMMON})
    wait_until(lambda: scene.daemon.snapshot().get("not_ours"), 10, scene.explain)
    scene.write(scene.b)
    wait_until(lambda: scene.daemon.snapshot()["mounts_file"]["mounts"][0]["source"] == str(scene.b), 5, "the change")
    document = scene.daemon.status()
    assert [c["id"] for c in document["not_ours"]] == [foreign[:12]]
    assert (document["jobs"], document["conflicts"]) == ([], [])
    assert notifications.open == {}


def test_the_launcher_of_another_home_is_not_ours(
    scene: Scene, launcher: Callable[..., Launcher], notifications: NotificationServer
) -> None:
    other_home = scene.home.parent / "other home"
    (other_home / "p/specs").mkdir(parents=True)
    (other_home / ".tao_mounts.json").write_text(scene.mapping(other_home / "p"))
    scene.write(scene.a)
    theirs = launcher(*TRAIN, cwd=other_home / "p", HOME=str(other_home))
    container = theirs.wait_for_container()
    wait_until(lambda: scene.daemon.snapshot().get("not_ours"), 10, scene.explain)
    scene.write(scene.b)
    wait_until(lambda: scene.daemon.snapshot()["mounts_file"]["mounts"][0]["source"] == str(scene.b), 5, "the change")
    document = scene.daemon.status()
    assert [c["id"] for c in document["not_ours"]] == [container[:12]]
    assert (document["jobs"], document["conflicts"]) == ([], [])


def test_extra_volumes_links_and_additions_are_no_conflict(scene: Scene, notifications: NotificationServer) -> None:
    link = scene.home / "link to a"
    link.symlink_to(scene.a)
    extra = scene.home / "extra"
    extra.mkdir()
    scene.write(scene.a)
    training = scene.launcher(*TRAIN[:3], "--volume", f"{extra}:/extra", *TRAIN[3:], cwd=scene.a)
    container = training.wait_for_container()
    wait_until(lambda: container[:12] in {job["id"] for job in scene.jobs()}, 10, scene.explain)
    document = json.loads(scene.mapping(link))
    document["Mounts"].reverse()
    document["Mounts"].append({"source": str(extra), "destination": "/more"})
    scene.file.write_text(json.dumps(document, indent=3))
    wait_until(lambda: len(scene.daemon.snapshot()["mounts_file"]["mounts"]) == 3, 5, "the change")
    assert scene.conflicts() == set()
    assert notifications.open == {}


# --- without an engine ----------------------------------------------------------------------------


def test_without_an_engine_the_launchers_are_the_jobs(
    home: Path, notifications: NotificationServer, daemon: Callable[..., Daemon], launcher: Callable[..., Launcher]
) -> None:
    scene = Scene(home, daemon(DOCKER_HOST=f"unix://{home}/no.sock"), launcher)
    scene.write(scene.a)
    training = scene.launcher(*TRAIN, cwd=scene.a)
    training.wait_for_container()
    scene.write(scene.b)
    wait_until(lambda: [job["pid"] for job in scene.jobs()] == [training.pid], 10, scene.explain)
    notifications.wait_for(lambda n: "~/tao/b" in n.body, timeout=5)
    (scene.a / FINISH).touch()
    training.wait()
    wait_until(lambda: not scene.jobs(), 5, "the end of the job, told by its process")
    wait_until(lambda: not notifications.open, 5, "the end of the notification")


# --- side by side ---------------------------------------------------------------------------------


def test_two_projects_train_side_by_side(
    scene: Scene,
    docker_engine: Engine,
    kernel: Callable[..., NotebookKernel],
    environment: dict[str, str],
    notifications: NotificationServer,
) -> None:
    for directory in (scene.a, scene.b):
        assert scene.daemon.command("init", str(directory)).returncode == 0
        notebook = kernel(directory / f"{directory.name}.ipynb")
        notebook.run_cell(0)
        notebook.run_cell(1)
    trainings = {directory: scene.train(directory, through=RUN) for directory in (scene.a, scene.b)}
    for directory, training in trainings.items():
        assert training.container is not None
        assert docker_engine.binds(training.container)[COMMON] == str(directory)
    document = scene.daemon.status()
    assert {job["project"] for job in document["jobs"]} == {str(scene.a), str(scene.b)}
    assert len(document["gpus_shared_by"]) == 2
    assert document["conflicts"] == []
    # A third mapping in the common file concerns neither; a new one of A's own notebook does concern A.
    (scene.home / "third/specs").mkdir(parents=True)
    scene.write(scene.home / "third")
    wait_until(lambda: "third" in scene.daemon.snapshot()["mounts_file"]["mounts"][0]["source"], 5, "the change")
    assert scene.conflicts() == set()
    assert notifications.open == {}


def test_the_own_file_of_a_project_follows_its_mapping_cell(scene: Scene) -> None:
    for directory in (scene.a, scene.b):
        assert scene.daemon.command("init", str(directory)).returncode == 0
    scene.write(scene.a)
    done = scene.daemon.command("run", "--", "sh", "-c", "printf %s $LAUNCHER_MOUNTS", cwd=scene.a)
    own = Path(done.stdout)
    assert own.read_bytes() == scene.file.read_bytes()
    wait_until(lambda: len(scene.daemon.snapshot()["projects"]) == 2, 5, scene.explain)
    scene.write(scene.b)
    scene.write(scene.a, DockerOptions={"shm_size": "16G"})
    wait_until(lambda: own.read_bytes() == scene.file.read_bytes(), 5, scene.explain)
    scene.write(scene.b)
    wait_until(lambda: scene.daemon.snapshot()["mounts_file"]["mounts"][0]["source"] == str(scene.b), 5, "the change")
    assert b"16G" in own.read_bytes()
    assert str(scene.b).encode() not in own.read_bytes()


def test_a_kernel_that_inherited_the_mounts_file_of_another_project(
    scene: Scene, kernel: Callable[..., NotebookKernel], notifications: NotificationServer
) -> None:
    for directory in (scene.a, scene.b):
        assert scene.daemon.command("init", str(directory)).returncode == 0
    prepared = scene.daemon.command("run", "--", "sh", "-c", "echo $LAUNCHER_MOUNTS", cwd=scene.a)
    own = prepared.stdout.strip()
    wait_until(lambda: "a" in {p["name"] for p in scene.daemon.snapshot()["projects"]}, 5, scene.explain)
    scene.write(scene.b)
    training = scene.launcher(*TRAIN, cwd=scene.b, LAUNCHER_MOUNTS=own)
    shown = notifications.wait_for(lambda n: "inherited LAUNCHER_MOUNTS of another project" in n.body, timeout=20)
    assert "env -u LAUNCHER_MOUNTS" in shown.body
    container = training.wait_for_container()
    notifications.wait_for(lambda n: f"docker stop {container[:12]}" in n.body, timeout=10)
    assert scene.conflicts() == {("hijacked", "critical")}


# --- policy ---------------------------------------------------------------------------------------


def configure(environment: dict[str, str], text: str) -> None:
    file = Path(environment["HOME"]) / ".config/taowatch/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_restore_policy(
    scene: Scene, environment: dict[str, str], notifications: NotificationServer, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    configure(environment, f'on_conflict = "restore"\n[notify]\ncommand = ["sh", "-c", "cat >> \\"$0\\"", "{told}"]\n')
    os.kill(scene.daemon.pid, signal.SIGHUP)
    scene.write(scene.a)
    held = scene.file.read_bytes()
    scene.train(scene.a)
    scene.write(scene.b)
    wait_until(lambda: scene.file.read_bytes() == held, 5, scene.explain)
    shown = notifications.wait_for(lambda n: "put revision 1 back at once" in n.body, timeout=5)
    assert shown.hints["urgency"] == 0
    scene.until()
    assert json.loads(wait_until(lambda: told.exists() and told.read_text(), 5, "the user's command"))["title"]
    revisions = json.loads(scene.daemon.command("history", "--json").stdout)
    assert any(m["source"] == str(scene.b) for r in revisions for m in r["mounts"]), "the other's mapping is kept"


def test_block_policy(scene: Scene, environment: dict[str, str]) -> None:
    configure(environment, 'on_conflict = "block"\n')
    os.kill(scene.daemon.pid, signal.SIGHUP)
    scene.write(scene.a)
    before = scene.file.stat().st_mode
    training = scene.train(scene.a)
    wait_until(lambda: scene.file.stat().st_mode & 0o222 == 0, 5, scene.explain)
    scene.daemon.kill()
    assert scene.file.stat().st_mode & 0o222 == 0
    (scene.a / FINISH).touch()
    training.wait()
    scene.daemon.start()
    wait_until(lambda: scene.file.stat().st_mode == before, 5, "the mode, given back after the crash")


def test_a_bad_configuration_is_one_line_and_exit_code_78(daemon: Callable[..., Daemon], home: Path) -> None:
    running = daemon()
    running.stop()
    configure(running.environment, 'on_conflict = "fight"\n')
    done = running.command("daemon")
    assert done.returncode == 78
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith("on_conflict is 'fight' (accepted: warn, restore, block); mend it, then start the service again")
    )
