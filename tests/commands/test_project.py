"""`init`, `allow`, `deny`: a directory becomes a project, is trusted as it stands, and no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pexpect
import pytest

from tests.support.commands import Taowatch
from tests.support.kernels import mapping_cells, write_notebook


@pytest.fixture
def directory(home: Path) -> Path:
    made = home / "tao" / "yolo v4"
    (made / "specs").mkdir(parents=True)
    write_notebook(made / "yolo.ipynb", mapping_cells(made, "yolo"))
    return made


def snippets(home: Path) -> str:
    folder = home / ".local/state/taowatch/shell"
    return (
        "\n".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()) if folder.exists() else ""
    )


def settings(directory: Path) -> str:
    return (directory / ".taowatch.toml").read_text()


def allowed(taowatch: Taowatch, directory: Path) -> bool:
    (project,) = [p for p in taowatch.json("status")["projects"] if p["directory"] == str(directory)]
    return bool(project["allowed"])


def test_init_reads_the_only_notebook_and_shows_the_table(directory: Path, taowatch: Taowatch, home: Path) -> None:
    said = taowatch.said("init", directory)
    assert 'notebook = "yolo.ipynb"' in settings(directory)
    assert "Allowed: " in said
    assert "LOCAL_SPECS_DIR" in said
    assert str(directory) in snippets(home)
    assert allowed(taowatch, directory)
    (directory / ".taowatch.toml").write_text('notebook = "yolo.ipynb"\nquiet = true\n')
    taowatch.said("init", directory)
    assert "quiet = true" in settings(directory), "a file that is there is kept"


def test_init_takes_the_notebook_that_it_is_given(directory: Path, taowatch: Taowatch) -> None:
    other = write_notebook(directory / "other.ipynb", mapping_cells(directory, "other"))
    taowatch.said("init", other)
    assert 'notebook = "other.ipynb"' in settings(directory)


def test_init_refuses_to_guess_among_several(directory: Path, taowatch: Taowatch) -> None:
    write_notebook(directory / "other.ipynb", mapping_cells(directory, "other"))
    said = taowatch.refused("init", directory, code=2)
    assert "several notebooks" in said
    assert "other.ipynb" in said
    assert not (directory / ".taowatch.toml").exists()


def test_init_passes_over_notebooks_without_a_mapping(directory: Path, taowatch: Taowatch) -> None:
    write_notebook(directory / "notes.ipynb", ["print(1)"])
    taowatch.said("init", directory)
    assert 'notebook = "yolo.ipynb"' in settings(directory)


def test_init_asks_where_there_is_a_terminal(directory: Path, taowatch: Taowatch) -> None:
    write_notebook(directory / "other.ipynb", mapping_cells(directory, "other"))
    child = pexpect.spawn(
        sys.executable,
        ["-m", "taowatch", "init", str(directory)],
        env=taowatch.environment,
        timeout=30,
        encoding="utf-8",
    )
    child.expect("Which notebook")
    child.sendline("1")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert 'notebook = "other.ipynb"' in settings(directory)


def test_init_without_a_notebook_takes_the_layout(home: Path, taowatch: Taowatch) -> None:
    (home / "empty").mkdir()
    said = taowatch.said("init", home / "empty", "--layout", "host")
    assert 'layout = "host"' in settings(home / "empty")
    assert "HOST_DATA_DIR" in said
    assert "there is no notebook" in taowatch.refused("init", home / "empty/x.ipynb", code=2)
    assert "there is no directory" in taowatch.refused("init", home / "nowhere", code=2)


def test_what_changed_is_not_allowed_until_it_was_seen_again(directory: Path, taowatch: Taowatch, home: Path) -> None:
    taowatch.said("init", directory)
    (directory / ".taowatch.toml").write_text(settings(directory) + '[variables]\nNUM_GPUS = "8"\n')
    assert not allowed(taowatch, directory)
    said = taowatch.said("allow", directory)
    assert '+NUM_GPUS = "8"' in said
    assert "--- allowed before" in said
    assert allowed(taowatch, directory)
    assert "'8'" in snippets(home)
    assert "+NUM_GPUS" not in taowatch.said("allow", directory)


def test_what_others_can_write_is_refused(directory: Path, taowatch: Taowatch, home: Path) -> None:
    (directory / ".taowatch.toml").write_text("")
    (directory / ".taowatch.toml").chmod(0o666)
    assert "can be written by others" in taowatch.refused("allow", directory)
    (directory / ".taowatch.toml").chmod(0o644)
    directory.chmod(0o777)
    said = taowatch.refused("allow", directory)
    assert f"{directory} can be written by others" in said
    assert "chmod go-w" in said
    assert snippets(home) == ""


def test_denied_means_nothing_is_exported(directory: Path, taowatch: Taowatch, home: Path) -> None:
    taowatch.said("init", directory)
    assert "LOCAL_PROJECT_DIR" in snippets(home)
    assert "Denied" in taowatch.said("deny", directory)
    assert "LOCAL_PROJECT_DIR" not in snippets(home)
    assert taowatch.json("status")["projects"] == []
    taowatch.said("deny", directory)


def test_an_isolated_project_exports_its_own_mounts_file(directory: Path, taowatch: Taowatch, home: Path) -> None:
    (directory / ".taowatch.toml").write_text("isolate = true\n")
    taowatch.said("allow", directory)
    (own,) = (home / ".local/state/taowatch/mounts").iterdir()
    assert "LAUNCHER_MOUNTS" in snippets(home)
    assert f"'{own}'" in snippets(home)
    assert json.loads(own.read_text())["Mounts"][0]["source"] == str(directory)


def test_key_reaches_the_shells_by_opt_in_only(directory: Path, taowatch: Taowatch, home: Path) -> None:
    taowatch.said("init", directory)
    assert "my_model_key" not in snippets(home)
    (directory / ".taowatch.toml").write_text('[key]\nvalue = "my own"\n')
    taowatch.said("allow", directory)
    assert "'my own'" in snippets(home)
