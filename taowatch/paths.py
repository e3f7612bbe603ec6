"""Every path of taowatch, from one explicit environment."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taowatch.errors import TaowatchError

MOUNTS_FILE = ".tao_mounts.json"
PROJECT_FILE = ".taowatch.toml"


@dataclass(frozen=True)
class Paths:
    """Where things are (DESIGN.md, "Files"). Nothing is created before it is asked for."""

    home: Path
    config: Path
    state: Path
    runtime: Path
    host: str
    """This machine among those that share the home."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Paths:
        """The paths for an environment. Raises TaowatchError where HOME is missing or relative."""
        home = Path(environ.get("HOME") or os.path.expanduser("~"))
        if not home.is_absolute():
            raise TaowatchError(f"HOME is not an absolute path: {home}", "set HOME", code=2)
        host = _host()
        state = _xdg(environ, "XDG_STATE_HOME", home / ".local/state") / "taowatch"
        return cls(
            home=home,
            config=_xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "taowatch",
            state=state,
            runtime=_runtime(environ, state, host),
            host=host,
        )

    @property
    def mounts_file(self) -> Path:
        return self.home / MOUNTS_FILE

    @property
    def history(self) -> Path:
        return self.state / "history" / self.host

    @property
    def projects(self) -> Path:
        return self.state / "projects"

    @property
    def snippets(self) -> Path:
        return self.state / "shell"

    @property
    def protected(self) -> Path:
        """Which mounts files are read-only because of us."""
        return self.state / f"protected-{self.host}.json"

    @property
    def log(self) -> Path:
        return self.state / f"log-{self.host}.txt"

    @property
    def status(self) -> Path:
        return self.runtime / "status.json"

    @property
    def shown(self) -> Path:
        """Which notifications are on the desktop."""
        return self.runtime / "shown.json"

    @property
    def kept(self) -> Path:
        """For which conflicts the user chose Keep."""
        return self.runtime / "kept.json"

    @property
    def lock(self) -> Path:
        return self.runtime / "lock"

    def launcher_mounts(self, directory: Path) -> Path:
        """The mounts file of one project alone, for LAUNCHER_MOUNTS; `directory` is its real path."""
        name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:24]
        return self.state / "mounts" / f"{name}.json"

    @property
    def alert(self) -> Path:
        return self.runtime / "alert"


def private_directory(path: Path) -> Path:
    """`path`, made with mode 0700 where it is missing.

    Raises TaowatchError where it is a link, somebody else's, or open to others and cannot be closed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise TaowatchError(f"{path} is not a directory of yours", "move it away") from None
        if found.st_mode & 0o077:
            path.chmod(0o700)
    return path


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """The whole content or nothing, on disk when this returns: temporary file, fsync, rename.

    Raises OSError; the old file is then still there, and no temporary one is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def remove_leftovers(directory: Path, prefix: str = ".") -> None:
    """Remove temporary files of processes that were killed while they wrote. Best effort."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        found = re.fullmatch(r"\..+\.(\d+)\.tmp|\.new-(\d+)-.*", name)
        if found and name.startswith(prefix) and not os.path.exists(f"/proc/{found[1] or found[2]}"):
            try:
                os.unlink(directory / name)
            except OSError:
                continue


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    # The XDG specification: a relative path is to be ignored.
    value = environ.get(name, "")
    return Path(value) if value.startswith("/") else default


def _runtime(environ: Mapping[str, str], state: Path, host: str) -> Path:
    for candidate in (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.getuid()}"):
        if candidate.startswith("/") and os.path.isdir(candidate) and os.stat(candidate).st_uid == os.getuid():
            return Path(candidate) / "taowatch"
    # In the user's own state rather than in /tmp, where others could be there first.
    return state / "run" / host


def _host() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()[:12] or os.uname().nodename
    except OSError:
        return os.uname().nodename
