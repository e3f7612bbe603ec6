"""The ground under the mounts file and the state: gone, full, read-only, somebody else's, silent, and back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taowatch.lock import is_held
from tests.faults.conftest import Scene
from tests.support.engine import Engine
from tests.support.waiting import wait_until

IN_A_NAMESPACE = ("unshare", "-m", "--propagation", "private", "sh", "-ec")


def inside(scene: Scene, *command: str) -> str:
    """Run something in the daemon's mount namespace."""
    words = ["nsenter", "-t", str(scene.daemon.pid), "-m", *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_inside(scene: Scene, name: str) -> None:
    inside(scene, "sh", "-c", 'printf %s "$1" > "$2"', "sh", scene.text(name), str(scene.file))


def test_the_directory_of_the_file_is_deleted_and_made_again(scene: Scene, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere/deep/mounts.json"
    target.parent.mkdir(parents=True)
    target.write_text(scene.text("one"))
    scene.file.symlink_to(target)
    scene.start()
    scene.until_seen("one")
    shutil.rmtree(tmp_path / "elsewhere")
    wait_until(lambda: scene.daemon.snapshot()["mounts_file"]["state"] == "missing", 10, "its absence")
    target.parent.mkdir(parents=True)
    target.write_text(scene.text("two"))
    scene.until_seen("two")


@pytest.mark.requires("root")
def test_a_home_is_unmounted_and_comes_back(scene: Scene, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    scene.write("one")
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    (disk / ".tao_mounts.json").write_text(scene.text("two"))
    scene.start((*IN_A_NAMESPACE, script, "sh", str(disk), str(scene.home)))
    scene.until_seen("two")
    inside(scene, "umount", "-l", str(scene.home))
    scene.until_seen("one")
    inside(scene, "mount", "--bind", str(disk), str(scene.home))
    scene.until_seen("two")
    (disk / ".tao_mounts.json").write_text(scene.text("three"))
    scene.until_seen("three")


@pytest.mark.requires("root")
def test_a_full_disk_costs_no_warning_and_no_revision_that_was_kept(
    scene: Scene, docker_engine: Engine, other_container: Callable[..., str]
) -> None:
    state = scene.home / ".local/state"
    script = 'mount -t tmpfs -o size=200k,mode=700 tmpfs "$1"; shift; exec "$@"'
    scene.start((*IN_A_NAMESPACE, script, "sh", str(state)))
    scene.hold(docker_engine, other_container)
    inside(scene, "sh", "-c", f"cat /dev/zero > {state}/filler 2>/dev/null || :")
    for name in ("two", "three", "two"):
        scene.write(name)
        scene.until_conflict(name)
    assert scene.daemon.log.count("the history could not be written") == 1
    inside(scene, "rm", f"{state}/filler")
    scene.write("three")
    scene.until_conflict("three")
    wait_until(lambda: scene.revisions() == 2, 5, lambda: str(scene.daemon.snapshot()["mounts_file"]))
    scene.write("one")
    scene.until_quiet()


@pytest.mark.requires("root")
def test_a_read_only_home_is_watched_all_the_same(scene: Scene, tmp_path: Path) -> None:
    scene.write("one")
    script = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'
    scene.start((*IN_A_NAMESPACE, script, "sh", str(scene.home)))
    scene.until_seen("one")
    scene.write("two")  # from outside the namespace, where the home can be written
    scene.until_seen("two")
    assert "no log file" in scene.daemon.log
    assert scene.revisions() is None


def test_an_unwritable_runtime_directory_leaves_no_stale_answer(scene: Scene, requires: Callable[..., None]) -> None:
    requires("root")
    runtime = Path(scene.environment["XDG_RUNTIME_DIR"]) / "taowatch"
    runtime.mkdir(mode=0o700)
    script = 'mount -t tmpfs -o size=24k,mode=700 tmpfs "$1"; shift; exec "$@"'
    scene.write("one")
    words = (*IN_A_NAMESPACE, script, "sh", str(runtime), sys.executable, "-m", "taowatch", "daemon")
    log = scene.home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(words, env=scene.environment, stdout=out, stderr=out)

    def run(*command: str) -> str:
        done = subprocess.run(
            ["nsenter", "-t", str(process.pid), "-m", *command], env=scene.environment, capture_output=True, text=True
        )
        return done.stdout

    status = (sys.executable, "-m", "taowatch", "status")
    try:
        wait_until(lambda: "running (pid" in run(*status), 15, lambda: log.read_text(), pause=0.1)
        run("sh", "-c", f"cat /dev/zero > {runtime}/filler 2>/dev/null || :")
        scene.write("two")
        wait_until(
            lambda: str(scene.project("two")) in run(*status), 10, lambda: run(*status) + log.read_text(), pause=0.1
        )
        run("rm", f"{runtime}/filler")
        scene.write("three")
        wait_until(
            lambda: (out := run(*status)) and "three" in out and "running (pid" in out, 10, log.read_text, pause=0.1
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    assert "Traceback" not in log.read_text()


@pytest.mark.requires("root")
def test_directories_of_somebody_else_are_refused(scene: Scene) -> None:
    runtime = Path(scene.environment["XDG_RUNTIME_DIR"]) / "taowatch"
    runtime.mkdir()
    os.chown(runtime, 65534, 65534)
    command = [sys.executable, "-m", "taowatch", "daemon"]
    done = subprocess.run(command, env=scene.environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "is not a directory of yours" in done.stderr
    assert list(runtime.iterdir()) == []
    runtime.rmdir()
    runtime.symlink_to(scene.home)
    done = subprocess.run(command, env=scene.environment, capture_output=True, text=True, timeout=20)
    assert "is not a directory of yours" in done.stderr
    assert not is_held(scene.home / "lock")


@pytest.mark.requires("root", "bindfs")
def test_a_fuse_home_is_polled(scene: Scene, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    script = 'bindfs -o nonempty "$1" "$2"; shift 2; exec "$@"'
    (below / ".tao_mounts.json").write_text(scene.text("one"))
    scene.start((*IN_A_NAMESPACE, script, "sh", str(below), str(scene.home)))
    scene.until_seen("one")
    assert "looked at every 2 s" in scene.daemon.log
    assert "fuse" in scene.daemon.log
    (below / ".tao_mounts.json").write_text(scene.text("two"))  # behind the back of the daemon's kernel mount
    scene.until_seen("two")
    inside(scene, "umount", "-l", str(scene.home))


@pytest.mark.requires("root", "bindfs")
def test_a_home_that_hangs_and_answers_again(scene: Scene, tmp_path: Path) -> None:
    # As a network home does while its server is away: whoever asks it waits.
    below = tmp_path / "below"
    below.mkdir()
    pid_file = tmp_path / "pid"
    script = 'bindfs -f -o nonempty "$1" "$2" & echo $! > "$3"; until mountpoint -q "$2"; do :; done; '
    script += 'shift 3; exec "$@"'
    (below / ".tao_mounts.json").write_text(scene.text("one"))
    scene.start((*IN_A_NAMESPACE, script, "sh", str(below), str(scene.home), str(pid_file)))
    scene.until_seen("one")
    server = int(pid_file.read_text())
    os.kill(server, signal.SIGSTOP)
    try:
        (below / ".tao_mounts.json").write_text(scene.text("two"))
        wait_until(lambda: _waits(scene.daemon.pid), 20, "the daemon to ask")
    finally:
        os.kill(server, signal.SIGCONT)
    scene.until_seen("two")
    inside(scene, "umount", "-l", str(scene.home))


def _waits(pid: int) -> bool:
    """Whether any of its threads waits for an answer of a FUSE server."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return any((thread / "wchan").read_text() == "request_wait_answer" for thread in threads)
