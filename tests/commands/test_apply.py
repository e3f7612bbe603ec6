"""`apply` writes the project's mapping as the notebook would, and refuses where a live job would lose its folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.commands import Taowatch
from tests.support.kernels import mapping_cells, write_notebook


def project(directory: Path) -> Path:
    (directory / "specs").mkdir(parents=True)
    write_notebook(directory / f"{directory.name}.ipynb", mapping_cells(directory))
    (directory / ".taowatch.toml").write_text("")
    return directory


def mapping(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / ".tao_mounts.json").read_text())
    return found


@contextmanager
def job(directory: Path, environment: dict[str, str]) -> Iterator[int]:
    """A process that looks like a launcher, which is all that is asked where there is no engine."""
    program = directory / "tao"
    program.write_text("import sys; print('up', flush=True); sys.stdin.read()")
    words = [sys.executable, str(program), "model", "dino", "train"]
    with subprocess.Popen(
        words, cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child.pid
        finally:
            child.kill()


def test_it_writes_what_the_notebook_would_and_keeps_a_revision(home: Path, taowatch: Taowatch) -> None:
    directory = project(home / "a")
    said = taowatch.said("apply", directory)
    assert str(directory) in said
    assert mapping(home) == {
        "Mounts": [
            {"source": str(directory), "destination": "/workspace/tao-experiments"},
            {"source": str(directory / "specs"), "destination": "/workspace/tao-experiments/a/specs"},
        ],
        "DockerOptions": {"user": f"{os.getuid()}:{os.getgid()}"},
    }
    (revision,) = taowatch.json("history")
    assert revision["by"] == "taowatch apply"
    assert revision["notebook"] == str(directory / "a.ipynb")
    assert not [name for name in os.listdir(home) if name.endswith(".tmp")]


def test_a_symlink_stays_one(home: Path, taowatch: Taowatch) -> None:
    directory = project(home / "a")
    (home / "real.json").write_text("{}")
    (home / ".tao_mounts.json").symlink_to("real.json")
    taowatch.said("apply", directory)
    assert (home / ".tao_mounts.json").is_symlink()
    assert "Mounts" in json.loads((home / "real.json").read_text())


def test_it_refuses_where_a_live_job_would_lose_its_folders(home: Path, taowatch: Taowatch) -> None:
    a, b = project(home / "a"), project(home / "b")
    taowatch.said("apply", a)
    before = (home / ".tao_mounts.json").read_bytes()
    with job(a, taowatch.environment):
        refused = taowatch.refused("apply", b)
        assert "dino train" in refused
        assert "/workspace/tao-experiments" in refused
        assert str(b) in refused
        assert "--force" in refused
        assert (home / ".tao_mounts.json").read_bytes() == before
        taowatch.said("apply", a)  # its own mapping hits nobody
        taowatch.said("apply", b, "--force")
        assert mapping(home)["Mounts"][0]["source"] == str(b)
    assert taowatch.said("apply", a)


def test_it_refuses_what_the_launcher_would(home: Path, taowatch: Taowatch) -> None:
    directory = project(home / "a")
    (directory / "specs").rmdir()
    refused = taowatch.refused("apply", directory)
    assert f"the source {directory}/specs does not exist" in refused
    assert not (home / ".tao_mounts.json").exists()


def test_it_refuses_a_mapping_that_cannot_be_known(home: Path, taowatch: Taowatch) -> None:
    directory = project(home / "a")
    setup, cell = mapping_cells(directory)
    write_notebook(
        directory / "a.ipynb", [setup, "folder = !pwd\n" + cell.replace('os.environ["LOCAL_PROJECT_DIR"]', "folder[0]")]
    )
    assert "cannot be known without running it" in taowatch.refused("apply", directory)
    assert not (home / ".tao_mounts.json").exists()


def test_the_own_file_of_an_isolated_project_follows(home: Path, taowatch: Taowatch) -> None:
    directory = project(home / "a")
    (directory / ".taowatch.toml").write_text("isolate = true\n")
    taowatch.said("allow", directory)
    (own,) = (home / ".local/state/taowatch/mounts").iterdir()
    setup, cell = mapping_cells(directory)
    write_notebook(
        directory / "a.ipynb", [setup, cell.replace('"DockerOptions": {', '"DockerOptions": {"shm_size": "8G",')]
    )
    taowatch.said("apply", directory)
    assert json.loads(own.read_text())["DockerOptions"]["shm_size"] == "8G"
