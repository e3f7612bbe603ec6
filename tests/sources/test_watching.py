"""Where the kernel tells nothing: chosen from the mounts, polled, and taken back when it can tell again."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taowatch.sources import mountinfo, polling
from taowatch.sources.directories import Directories
from tests.support.waiting import wait_until

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:26 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/u/local rw - xfs /dev/sdb1 rw
32 21 0:28 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs
33 21 0:29 / /mnt/with\\040space rw master:1 propagate_from:2 - fuse.sshfs u@h: rw
34 21 0:30 / /over rw - nfs server:/x rw
35 21 0:31 / /over rw - tmpfs tmpfs rw
36 21 0:31 / /win rw - fuseblk /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "silent"),
    [
        ("/", "ext4", False),
        ("/etc/x", "ext4", False),
        ("/homes", "ext4", False),
        ("/home", "nfs4", True),
        ("/home/u/.tao_mounts.json", "nfs4", True),
        ("/home/u/local/x", "xfs", False),
        ("/mnt/c/Users", "9p", True),
        ("/mnt/with space/x", "fuse.sshfs", True),
        ("/over/x", "tmpfs", False),
        ("/win/x", "fuseblk", True),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str, silent: bool) -> None:
    found = mountinfo.type_at(mountinfo.file_systems(MOUNTS), path)
    assert (found, mountinfo.is_silent(found)) == (kind, silent)


def test_which_mounts_concern_a_path() -> None:
    before = mountinfo.points(MOUNTS)
    after = mountinfo.points(MOUNTS.replace("31 30 ", "77 30 ") + "90 21 0:9 / /var/lib/docker/x rw - overlay o rw\n")
    changed = {point for point, _ in before.items() ^ after.items()}
    assert changed == {"/home/u/local", "/var/lib/docker/x"}
    assert mountinfo.is_under("/home/u/local/tao", changed)
    assert mountinfo.is_under("/home/u/local", changed)
    assert not mountinfo.is_under("/home/u/local2", changed)
    assert not mountinfo.is_under("/home/u", changed)
    assert mountinfo.is_under("/home/u", {"/"})


@given(st.text())
def test_any_mountinfo_is_read(text: str) -> None:
    mountinfo.points(text)
    mountinfo.type_at(mountinfo.file_systems(text), "/home/u")


def test_local_file_systems_are_not_polled() -> None:
    assert not any(map(mountinfo.is_silent, ("ext4", "btrfs", "zfs", "xfs", "tmpfs", "overlay", "")))


class Heard:
    """A set of directories that notes what it tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.directories = Directories(lambda directory, name, _: self.told.append((directory, name)))

    def of(self, path: Path) -> bool:
        return (str(path.parent), path.name) in self.told


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(polling, "INTERVAL", 0.02)
    return Heard()


def test_polling_takes_over_and_gives_back(heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x"
    monkeypatch.setattr(mountinfo, "read", lambda: {"/": "nfs4"})
    heard.directories.watch([str(tmp_path)], [str(file)])
    for change in ("made", "changed in place"):
        heard.told.clear()
        file.write_text(change)
        wait_until(lambda: heard.of(file), 5)
    heard.told.clear()
    other = tmp_path / "other"
    other.write_text("replaced")
    os.replace(other, file)
    wait_until(lambda: heard.of(file), 5)
    heard.told.clear()
    file.unlink()
    wait_until(lambda: heard.of(file), 5)
    monkeypatch.setattr(mountinfo, "read", lambda: {"/": "ext4"})
    heard.directories._mounts.close()  # as after a change
    heard.directories.watch([str(tmp_path)], [str(file)])
    assert "polling" not in [thread.name for thread in threading.enumerate()]
    heard.told.clear()
    file.write_text("again")
    wait_until(lambda: heard.of(file), 5)
    heard.directories.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_reader_is_replaced(heard: Heard, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "x"
    heard.directories.watch([str(tmp_path)])
    reader = heard.directories._inotify
    assert reader is not None
    reader.handle_event = lambda event: exec("raise SystemExit")  # type: ignore[method-assign]
    file.write_text("the end of it")
    wait_until(lambda: not heard.directories.is_alive(), 5)
    assert heard.directories.watch([str(tmp_path)]) == []
    assert heard.directories.is_alive()
    assert "another one takes over" in caplog.text
    file.write_text("seen by the next")
    wait_until(lambda: heard.of(file), 5)
    heard.directories.stop()
    assert not [name for name in map(os.readlink, _descriptors()) if "inotify" in name]


def _descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if os.path.lexists(path):
            found.append(path)
    return found
