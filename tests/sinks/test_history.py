"""Revisions on a real disk: numbers, damage, many writers, restore."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taowatch.core.effects import KeepRevision
from taowatch.core.mapping import digest
from taowatch.core.model import Owner
from taowatch.errors import TaowatchError
from taowatch.sinks.history import History


def keep(path: Path, content: bytes) -> KeepRevision:
    return KeepRevision(str(path), content, digest(content), (("/w", "/a"),), 1.5, Owner("/p", "/p/n.ipynb", 7))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "state/history/host")


def test_a_revision_comes_back_as_it_was(history: History, tmp_path: Path) -> None:
    content = b'{"Mounts": []}\n\xff'
    kept = history.add(keep(tmp_path / "m", content))
    assert history.revisions() == [kept]
    assert history.content(kept.number) == content
    assert kept.binds == (("/w", "/a"),)


def test_the_same_content_again_is_the_same_revision(history: History, tmp_path: Path) -> None:
    first = history.add(keep(tmp_path / "m", b"1"))
    assert history.add(keep(tmp_path / "m", b"1")) == first
    second = history.add(keep(tmp_path / "m", b"2"))
    assert history.add(keep(tmp_path / "m", b"1")).number == second.number + 1


def test_it_is_private(history: History, tmp_path: Path) -> None:
    history.add(keep(tmp_path / "m", b"1"))
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_restore_is_byte_for_byte_and_keeps_the_link(history: History, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to("real")
    real.write_bytes(b"old")
    real.chmod(0o640)
    number = history.add(keep(link, b"old")).number
    real.write_bytes(b"new")
    history.add(keep(link, b"new"))
    restored = history.restore(number)
    assert link.is_symlink()
    assert real.read_bytes() == b"old"
    assert real.stat().st_mode & 0o777 == 0o640
    assert restored.number == 3
    assert restored.owner.what == "taowatch restore"
    assert sorted(os.listdir(tmp_path)) == ["home", "link", "real", "state"]


def test_a_damaged_revision_costs_only_itself(
    history: History, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = [history.add(keep(tmp_path / "m", content)).number for content in (b"1", b"2", b"3")]
    (tmp_path / "state/history/host/000002.json").write_bytes(b'{"digest": "x", "cont')
    assert [r.number for r in history.revisions()] == [numbers[0], numbers[2]]
    assert "set aside" in caplog.text
    assert (tmp_path / "state/history/host/000002.damaged").exists()
    with pytest.raises(TaowatchError, match="no revision 2"):
        history.restore(2)


def test_two_writers_never_share_a_number(history: History, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from taowatch.sinks.history import History;"
        "from tests.sinks.test_history import keep\n"
        "for i in range(30): History(Path(sys.argv[1])).add(keep(Path('/m'), f'{sys.argv[2]} {i}'.encode()))"
    )
    directory = tmp_path / "state/history/host"
    command = [sys.executable, "-c", script, str(directory)]
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen([*command, str(n)], cwd=root) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    revisions = history.revisions()
    assert len(revisions) == 90
    assert len({r.digest for r in revisions}) == 90
