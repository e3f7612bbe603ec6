"""Whatever stands in the place of the mounts file: a state and one line, never an exception."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from taowatch.core.mapping import MAX_BYTES
from taowatch.core.model import INVALID, MISSING, OK
from taowatch.sources.reading import link_chain, nearest_existing, notebooks_in, read_mounts_file


def as_directory(file: Path) -> None:
    file.mkdir()


def as_fifo(file: Path) -> None:
    os.mkfifo(file)


def as_loop(file: Path) -> None:
    file.symlink_to(file)


def as_huge(file: Path) -> None:
    with file.open("wb") as out:
        out.truncate(100 * 2**20)


def as_deep(file: Path) -> None:
    file.write_text("[" * 100_000)


def as_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


ODD: list[tuple[Callable[[Path], None], str]] = [
    (as_directory, "directory"),
    (as_fifo, "not a regular file"),
    (as_loop, "symbolic links"),
    (as_huge, f"larger than {MAX_BYTES // 2**20} MiB"),
    (as_deep, "nested too deep"),
    (as_device, "not a regular file"),
]


@pytest.mark.parametrize(("make", "reason"), ODD, ids=[make.__name__ for make, _ in ODD])
def test_odd_files_are_invalid_with_a_reason(make: Callable[[Path], None], reason: str, home: Path) -> None:
    file = home / ".tao_mounts.json"
    make(file)
    reading = read_mounts_file(str(file), home)
    assert reading.state == INVALID
    assert reading.error is not None
    assert reason in reading.error
    assert "\n" not in reading.error


def test_no_permission_is_a_state(home: Path) -> None:
    file = home / ".tao_mounts.json"
    file.write_text("{}")
    file.chmod(0)
    if os.getuid() == 0:  # root may read everything: ask as nobody, in a child
        home.chmod(0o755)
        pid = os.fork()
        if pid == 0:
            os.setuid(65534)
            found = read_mounts_file(str(file), home)
            os._exit(0 if found.state == INVALID and "ermission" in str(found.error) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    else:
        assert "ermission" in str(read_mounts_file(str(file), home).error)


def test_missing_is_not_invalid(home: Path) -> None:
    assert read_mounts_file(str(home / ".tao_mounts.json"), home).state == MISSING


def test_a_home_with_spaces_and_links(tmp_path: Path) -> None:
    home = tmp_path / "home of 王 $x"
    (home / "tao").mkdir(parents=True)
    (home / "link").symlink_to("tao")
    file = home / ".tao_mounts.json"
    file.write_text(json.dumps({"Mounts": [{"source": "~/link", "destination": "/workspace"}]}))
    reading = read_mounts_file(str(file), home)
    assert reading.state == OK
    assert reading.mapping.binds() == {"/workspace": str(home / "tao")}
    assert reading.mapping.mounts[0].source == "~/link"


def test_the_chain_of_links_is_followed_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "a").symlink_to("dotfiles/b")
    (tmp_path / "dotfiles/b").symlink_to("c")
    assert link_chain(str(tmp_path / "a")) == [str(tmp_path / name) for name in ("a", "dotfiles/b", "dotfiles/c")]


def test_where_a_directory_will_come_into_being(tmp_path: Path) -> None:
    assert nearest_existing(str(tmp_path / "not/yet/there")) == str(tmp_path)


def test_notebooks_are_found_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").touch()
    (tmp_path / "a.txt").touch()
    assert notebooks_in([str(tmp_path), str(tmp_path / "gone"), str(tmp_path)]) == (str(tmp_path / "a.ipynb"),)
