"""The service of a user without privileges: the same unit, under a manager that may grant less than root's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import taowatch
from taowatch.core import setup
from tests.support.sandbox import Sandbox, kept_environment
from tests.support.service_manager import UserManager
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requires("systemd")
NOBODY = 65534
AS_NOBODY = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
UNIT = "taowatch.service"
LAUNCHER = "import time\ntime.sleep(60)\n"
PROBE = """\
import docker, dbus_fast, watchdog, psutil, taowatch
"""


def interpreter() -> tuple[str, dict[str, str]]:
    """A Python that nobody may run, with what makes it find our packages."""
    packages = os.pathsep.join(path for path in sys.path if path) + os.pathsep + str(Path(taowatch.__file__).parents[1])
    for program in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        told = {"PYTHONPATH": packages, "PATH": os.environ["PATH"]}
        try:
            done = subprocess.run(
                [*AS_NOBODY, program, "-c", PROBE], env=told, cwd="/", capture_output=True, timeout=60
            )
        except OSError:
            continue
        if done.returncode == 0 and not _within_closed(program):
            return program, told
    pytest.skip("no Python that a user without privileges may run finds taowatch")


def _within_closed(program: str) -> bool:
    return any(not parent.stat().st_mode & 0o005 for parent in Path(os.path.realpath(program)).parents)


@pytest.fixture
def nobodys() -> Iterator[UserManager]:
    """A user manager of nobody's, with the unit installed for a Python that they may run."""
    program, told = interpreter()
    directory = Path(tempfile.mkdtemp(prefix="tw-nobody-"))
    made = Sandbox(directory / "home", directory / "run").make()
    template = (Path(taowatch.__file__).parent / "systemd" / UNIT).read_text()
    unit = made.home / ".config/systemd/user" / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text(setup.unit(template, (program, "-m", "taowatch"), {"PYTHONPATH": told["PYTHONPATH"]}))
    environment = {**kept_environment(os.environ), **made.variables, **told, "DOCKER_HOST": "unix:///nonexistent"}
    subprocess.run(["chown", "-R", str(NOBODY), directory], check=True)
    directory.chmod(0o755)
    manager = UserManager({**environment, "TAOWATCH_PYTHON": program}, NOBODY)
    manager.start()
    yield manager
    manager.stop()
    shutil.rmtree(directory, ignore_errors=True)


def test_it_sees_launchers_under_the_hardening(nobodys: UserManager) -> None:
    program, home = nobodys.environment["TAOWATCH_PYTHON"], Path(nobodys.environment["HOME"])
    assert nobodys.systemctl("start", UNIT).returncode == 0, nobodys.log
    facts = Path(f"/proc/{nobodys.show(UNIT, 'MainPID')['MainPID']}/status").read_text()
    assert f"Uid:\t{NOBODY}" in facts
    assert "CapEff:\t0000000000000000" in facts
    snapshot = Path(nobodys.environment["XDG_RUNTIME_DIR"]) / "taowatch/status.json"

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(snapshot.read_text())
        return found

    def write(name: str) -> None:
        (home / name).mkdir(exist_ok=True)
        mounts = [{"source": str(home / name), "destination": "/workspace"}]
        (home / ".tao_mounts.json").write_text(json.dumps({"Mounts": mounts}))

    assert snapshot.exists(), "there before the manager is told"
    write("one")
    wait_until(lambda: status()["mounts_file"]["state"] == "ok", 10)
    tao = home / "bin/tao"
    tao.parent.mkdir()
    tao.write_text(LAUNCHER)
    told = {**nobodys.environment, "LAUNCHER_MOUNTS": str(home / ".tao_mounts.json")}
    launcher = subprocess.Popen([*AS_NOBODY, program, tao, "model", "dino", "train"], env=told, cwd=home / "one")
    try:
        wait_until(lambda: b"dino" in Path(f"/proc/{launcher.pid}/cmdline").read_bytes(), 5)
        # Within a twentieth of a second nobody can tell which of the two, the start or the write, was first.
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.2, 5)
        write("two")
        # Its directory and its environment are read from /proc, which a user namespace would forbid.
        wait_until(
            lambda: [job["project"] for job in status()["jobs"]] == [str(home / "one")], 10, lambda: str(status())
        )
        wait_until(
            lambda: [conflict["kind"] for conflict in status()["conflicts"]] == ["hijacked"], 10, lambda: str(status())
        )
    finally:
        launcher.terminate()
        launcher.wait(10)
    wait_until(lambda: status()["jobs"] == [], 10)
