"""`restore` and `run` lose nothing, daemon or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon


@pytest.fixture
def taowatch(environment: dict[str, str]) -> Daemon:
    """Commands without a daemon."""
    return Daemon(environment)


def text(*sources: Path) -> str:
    mounts = [{"source": str(source), "destination": f"/w{number}"} for number, source in enumerate(sources)]
    return json.dumps({"Mounts": mounts})


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_what_nobody_kept_is_kept_before_it_is_replaced(
    home: Path, taowatch: Daemon, daemon: Callable[..., Daemon]
) -> None:
    file = home / ".tao_mounts.json"
    file.write_text(text(folder(home / "a")))
    daemon().stop()
    precious = text(folder(home / "precious"))
    file.write_text(precious)
    done = taowatch.command("restore", "1")
    assert done.returncode == 0, done.stderr
    assert file.read_text() == text(home / "a")
    assert taowatch.command("restore").returncode == 0
    assert file.read_text() == precious


def test_a_refused_run_leaves_the_projects_file_alone(home: Path, taowatch: Daemon) -> None:
    project = folder(home / "tao/a")
    folder(project / "specs")
    assert taowatch.command("init", str(project)).returncode == 0
    show = [
        sys.executable,
        "-c",
        "import os; print(os.environ['LAUNCHER_MOUNTS'], os.environ['TAOWATCH_RUN'], os.getpid())",
    ]
    done = taowatch.command("run", "--", *show, cwd=project)
    own, run_by, pid = done.stdout.rsplit(maxsplit=2)
    assert run_by == pid, "only the process that was started so chose its file; what it starts inherited it"
    before = Path(own).read_bytes()
    (project / "specs").rmdir()
    done = taowatch.command("run", "--", "true", cwd=project)
    assert done.returncode == 1
    assert f"the source {project}/specs does not exist" in done.stderr
    assert Path(own).read_bytes() == before


def test_run_says_what_is_missing(home: Path, taowatch: Daemon) -> None:
    assert "no project at or above" in taowatch.command("run", "--", "true", cwd=home).stderr
    project = folder(home / "tao/a")
    folder(project / "specs")
    assert taowatch.command("init", str(project)).returncode == 0
    assert taowatch.command("run", cwd=project).returncode == 2
    assert "cannot be started" in taowatch.command("run", "--", "no-such-program", cwd=project).stderr
    assert taowatch.command("deny", str(project)).returncode == 0
    assert "is not allowed" in taowatch.command("run", "--", "true", cwd=project).stderr


def test_a_foreign_mapping_never_becomes_the_projects(home: Path, taowatch: Daemon) -> None:
    project = folder(home / "tao/a")
    folder(project / "specs")
    folder(project / "data")
    assert taowatch.command("init", str(project)).returncode == 0
    (home / ".tao_mounts.json").write_text(text(folder(home / "other"), project / "data"))
    done = taowatch.command("run", "--", "sh", "-c", 'cat "$LAUNCHER_MOUNTS"', cwd=project)
    assert str(home / "other") not in done.stdout
    assert json.loads(done.stdout)["Mounts"][0]["source"] == str(project)
