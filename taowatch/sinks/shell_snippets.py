"""Allowed projects -> the small shell files that the hook sources on entering their directory.

They lie in a mirror of the file system, so that the hook finds the nearest project with a few looks and reads only its
file, whatever the number of projects. The protocol between these files and the hooks, which may be older than they are:

- `generation`: `VERSION ID`. A hook that knows another VERSION takes its variables back and says so.
- `at.ID`: an empty file. As long as there is the one that a shell has seen last, no project changed.
- `tree/DIRECTORY/=env.sh` (bash, zsh) and `=env.fish`: one call of `__taowatch_project` with literal words. It has the
  time of DIRECTORY/.taowatch.toml, so that a shell has to read that file only after its time changed.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from taowatch.core.layout import Variable
from taowatch.core.quoting import bash, fish
from taowatch.core.wording import printable
from taowatch.paths import PROJECT_FILE, Paths, private_directory, write_atomically

VERSION = 1
DIALECTS: dict[str, Callable[[str], str]] = {"sh": bash, "fish": fish}

_TICK = 20_000_000
"""Nanoseconds; Linux has between 1 and 10 ms."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def write_snippet(paths: Paths, directory: Path, name: str, variables: Sequence[Variable], quiet: bool = False) -> None:
    """What the hook exports in `directory`, as long as its .taowatch.toml stays what it is now; `quiet` without a line.

    Raises OSError, and ValueError for a name or value that no shell can hold.
    """
    content, modified = _settled(directory / PROJECT_FILE)
    texts = {dialect: _text(quote, directory, name, content, variables, quiet) for dialect, quote in DIALECTS.items()}
    private_directory(paths.state)
    for dialect, text in texts.items():
        file = snippet(paths, directory, dialect)
        _private_directories(paths.snippets, file.parent)
        write_atomically(file, os.fsencode(text))
        os.utime(file, ns=(modified, modified))
    _tell_shells(paths)


def remove_snippet(paths: Paths, directory: Path) -> None:
    """Nothing is exported in `directory` any more."""
    for dialect in DIALECTS:
        snippet(paths, directory, dialect).unlink(missing_ok=True)
    _tell_shells(paths)


def snippet(paths: Paths, directory: Path, dialect: str) -> Path:
    """The file for one directory, given by its real path."""
    return Path(f"{paths.snippets}/tree{directory}") / f"=env.{dialect}"


def _settled(file: Path) -> tuple[str, int]:
    """A file's content, and a time of change that no later change can have as well."""
    modified = file.stat().st_mtime_ns
    # The clock behind that time goes in steps: within one, a file can change twice and look the same.
    if 0 <= time.time_ns() - modified < _TICK:
        time.sleep(_TICK / 1e9)
    with file.open("rb") as opened:
        modified = os.fstat(opened.fileno()).st_mtime_ns
        return os.fsdecode(opened.read()), modified


def _text(
    quote: Callable[[str], str], directory: Path, name: str, content: str, variables: Sequence[Variable], quiet: bool
) -> str:
    words = ["1" if quiet else "", str(directory), printable(name), content]
    pairs = [("TAOWATCH_PROJECT", str(directory)), *((_checked(known.name), known.value) for known in variables)]
    triples = [f"{name} {quote(value)} {quote(_note(name, value))}" for name, value in pairs]
    return " ".join(["__taowatch_project", *map(quote, words), *triples]) + "\n"


def _note(name: str, value: str) -> str:
    # What the hook puts into TAOWATCH_STATE; made here, because shells are slow at it.
    encoded = value.replace("%", "%25").replace("|", "%7C").replace("\n", "%0A")
    return f"{name}|{encoded}|"


def _private_directories(top: Path, directory: Path) -> None:
    # mkdir gives its mode to the last one only, and the names of projects are nobody else's business.
    for part in (top, *reversed([part for part in directory.parents if top in part.parents]), directory):
        part.mkdir(mode=0o700, exist_ok=True)


def _checked(name: str) -> str:
    # It stands in the snippet as it is; which names a project may set is decided where its settings are read.
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name of a variable")
    return name


def _tell_shells(paths: Paths) -> None:
    if not paths.snippets.exists():
        return
    with open(os.open(paths.snippets / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        identity = os.urandom(8).hex()
        # In this order a crash in between costs the shells a look at each prompt, but never hides a change from them.
        for old in paths.snippets.glob("at.*"):
            old.unlink(missing_ok=True)
        write_atomically(paths.snippets / "generation", f"{VERSION} {identity}\n".encode())
        (paths.snippets / f"at.{identity}").touch(mode=0o600)
