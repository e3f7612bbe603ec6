"""A place that tests cannot leave: a scratch home, an emptied environment, a watch on the real home.

The product's subject is one file in the user's home, so a test that strayed would change how somebody trains.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

KEPT_NAMES = {"PATH", "LANG", "LC_ALL", "TERM", "CI", "TMPDIR", "USER", "LOGNAME", "SHELL"}
# What a package installer needs on machines that reach their registry in their own way, and coverage tools.
KEPT_PREFIXES = (
    "PIP_",
    "SSL_CERT_",
    "REQUESTS_CA_",
    "PYTEST_",
    "HYPOTHESIS_",
    "COVERAGE_",
    "TAOWATCH_LAUNCHER_VENV",
)

GUARDED = (
    ".tao_mounts.json",
    ".tlt_mounts.json",
    ".bashrc",
    ".profile",
    ".zshrc",
    ".config/fish/config.fish",
    ".config/taowatch",
    ".config/systemd/user",
    ".local/state/taowatch",
    ".docker/config.json",
)

Stamps = dict[Path, tuple[int, int, int] | None]


def real_homes() -> set[Path]:
    """Every folder that could be meant by the real home: the variable and the user database may differ."""
    return {Path(pwd.getpwuid(os.getuid()).pw_dir), Path(os.environ.get("HOME", "/nonexistent"))}


def stamps_of(homes: Iterable[Path]) -> Stamps:
    """What tells one version of each guarded file from another."""
    return {home / name: _stamp(home / name) for home in homes for name in GUARDED}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def touched(before: Stamps) -> list[Path]:
    """Guarded files that are no longer what they were."""
    return [path for path, stamp in before.items() if _stamp(path) != stamp]


def kept_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The few variables that tests may inherit, with the tests' own programs first on PATH."""
    kept = {name: value for name, value in environ.items() if name in KEPT_NAMES or name.startswith(KEPT_PREFIXES)}
    folders = [
        str(Path(sys.executable).parent),
        *kept.get("PATH", os.defpath).split(":"),
        "/usr/sbin",
        "/sbin",
    ]
    kept["PATH"] = ":".join(dict.fromkeys(folders))
    return kept


@dataclass(frozen=True)
class Sandbox:
    """The folders of one test. The runtime folder has a short path, because sockets live in it."""

    home: Path
    runtime: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment that makes programs stay inside."""
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_STATE_HOME": str(self.home / ".local/state"),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def make(self) -> Sandbox:
        """Create the folders, private as a login would make them."""
        for name, folder in self.variables.items():
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700 if name == "XDG_RUNTIME_DIR" else 0o755)
        return self
