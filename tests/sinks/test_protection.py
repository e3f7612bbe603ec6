"""`on_conflict = "block"` on real files, against a real other writer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taowatch.sinks.protection import Protection

NOBODY = 65534


@pytest.fixture
def file() -> Iterator[Path]:
    """A mounts file of an ordinary user, as root would pass every barrier."""
    directory = Path(tempfile.mkdtemp(prefix="tw-block-"))
    directory.chmod(0o755)
    made = directory / "mounts.json"
    made.write_text("{}")
    made.chmod(0o664)
    if os.getuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(directory)


def written_by_a_notebook(file: Path) -> bool:
    user = NOBODY if os.getuid() == 0 else None
    # Not our Python, which may lie where nobody else may go.
    words = ["/bin/sh", "-c", 'echo mine > "$1"', "sh", str(file)]
    done = subprocess.run(words, user=user, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
    return done.returncode == 0


def test_a_protected_file_is_not_written_and_given_back(file: Path, tmp_path: Path) -> None:
    protection = Protection(tmp_path / "state/protected.json")
    protection.protect([str(file)])
    assert not written_by_a_notebook(file)
    assert file.read_text() == "{}"
    protection.give_back()
    assert file.stat().st_mode & 0o777 == 0o664
    assert written_by_a_notebook(file)
    assert not (tmp_path / "state/protected.json").exists()


def test_what_a_killed_daemon_left_is_given_back(file: Path, tmp_path: Path) -> None:
    Protection(tmp_path / "state/protected.json").protect([str(file)])
    Protection(tmp_path / "state/protected.json").give_back()
    assert file.stat().st_mode & 0o777 == 0o664


def test_a_mode_that_somebody_chose_meanwhile_stays(file: Path, tmp_path: Path) -> None:
    protection = Protection(tmp_path / "state/protected.json")
    protection.protect([str(file)])
    file.chmod(0o600)
    protection.give_back()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_read_only_stays_so(file: Path, tmp_path: Path) -> None:
    file.chmod(0o444)
    protection = Protection(tmp_path / "state/protected.json")
    protection.protect([str(file)])
    protection.give_back()
    assert file.stat().st_mode & 0o777 == 0o444


def test_a_file_that_is_gone_is_no_error(file: Path, tmp_path: Path) -> None:
    protection = Protection(tmp_path / "state/protected.json")
    protection.protect([str(file)])
    file.unlink()
    protection.protect([str(file)])
    protection.give_back()


def test_a_damaged_record_is_passed_over(file: Path, tmp_path: Path) -> None:
    record = tmp_path / "protected.json"
    record.write_text("[not json")
    Protection(record).protect([str(file)])
    assert not written_by_a_notebook(file)
