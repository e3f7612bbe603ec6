"""Which real parts this machine has. The one place that decides whether a test can run.

Without CI a missing part leaves its tests out, and the end of the run lists them; with CI=true it fails them.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

DOCKER_SOCKET = Path("/var/run/docker.sock")
USER_MANAGER_FILES = ("/lib/systemd/systemd", "/usr/lib/systemd/user/dbus.socket")
REPOSITORY = Path(__file__).resolve().parents[2]


def launcher_venv() -> Path:
    """The environment of the real launcher, apart from the tests' own."""
    return Path(os.environ.get("TAOWATCH_LAUNCHER_VENV", REPOSITORY / ".venv-launcher"))


def answers(path: Path) -> bool:
    """Whether somebody listens on this socket."""
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(2)
        try:
            attempt.connect(str(path))
        except OSError:
            return False
    return True


def _programs(*names: str) -> Callable[[], str | None]:
    """A check that says which of these programs are absent."""

    def check() -> str | None:
        absent = [name for name in names if not shutil.which(name)]
        return f"not installed: {' '.join(absent)}" if absent else None

    return check


def _root() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


def _private_docker() -> str | None:
    return _root() or _programs("dockerd", "docker", "busybox", "unshare")()


def _docker() -> str | None:
    if answers(DOCKER_SOCKET):
        return _programs("docker", "busybox")()
    reason = _private_docker()
    return f"no engine answers at {DOCKER_SOCKET} and none can be started: {reason}" if reason else None


def _launcher() -> str | None:
    program = launcher_venv() / "bin/tao"
    return None if program.exists() else f"no launcher at {program} (make test installs it)"


def _user_manager() -> str | None:
    files = [path for path in map(Path, USER_MANAGER_FILES) if not path.exists()]
    absent = f"not installed: {' '.join(map(str, files))}" if files else None
    return _programs("systemctl", "systemd-run", "systemd-analyze", "unshare", "nsenter", "setpriv")() or absent


COMPONENTS: dict[str, Callable[[], str | None]] = {
    "root": _root,
    "docker": _docker,
    "private-docker": _private_docker,
    "launcher": _launcher,
    "dbus": _programs("dbus-daemon"),
    "dunst": _programs("dunst", "Xvfb", "import"),
    "systemd": lambda: _root() or _user_manager(),
    "bindfs": lambda: _programs("bindfs", "umount")() or (None if Path("/dev/fuse").exists() else "no /dev/fuse"),
    "faketime": _programs("faketime"),
    "bash": _programs("bash"),
    "zsh": _programs("zsh"),
    "fish": _programs("fish"),
    "strace": _programs("strace"),
    "direnv": _programs("direnv"),
    "tmux": _programs("tmux"),
}


def requires(*components: str) -> None:
    """End the test here if one of these parts is missing: left out, or failed where all must be there."""
    missing = {name: reason for name in components if (reason := COMPONENTS[name]())}
    if not missing:
        return
    text = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing with CI=true: {text}", pytrace=False)
    pytest.skip(text)
