"""A project's own mounts file follows the newest content, whenever the copies are made."""

from __future__ import annotations

from pathlib import Path

from taowatch.sinks.own_mounts import follow_mapping


def test_of_two_quick_writes_the_second_stays(tmp_path: Path) -> None:
    own = tmp_path / "state/mounts/a.json"
    assert follow_mapping(own, b"one", 1000.0)
    assert follow_mapping(own, b"two", 1000.03)
    assert own.read_bytes() == b"two"
    assert not follow_mapping(own, b"one", 1000.0), "what is older than it comes too late"
    assert own.read_bytes() == b"two"


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    own = tmp_path / "state/mounts/a.json"
    follow_mapping(own, b"one", 1000.0)
    assert not follow_mapping(own, b"one", 2000.0)
