"""Allowed projects -> the small shell files that the hook sources on entering their directory.

They lie in a mirror of the file system, so that the hook finds the nearest project with a few `[[ -f ]]` and reads only
its file, whatever the number of projects. Each name is preceded by `=`, so no directory can be called like a file here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from taowatch.core.layout import Variable
from taowatch.core.quoting import bash
from taowatch.paths import Paths, private_directory, write_atomically


def write_snippet(paths: Paths, directory: Path, name: str, variables: Sequence[Variable], quiet: bool = False) -> None:
    """What the hook exports in `directory`. Raises OSError, and ValueError for a value that no shell can hold."""
    file = snippet(paths, directory)
    words = [bash(str(directory)), bash(name)]
    words += [word for variable in variables for word in (variable.name, bash(variable.value))]
    private_directory(paths.state)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(file, ("__taowatch_enter " + " ".join(words) + "\n").encode("utf-8", "surrogateescape"))
    _tell_shells(paths)


def remove_snippet(paths: Paths, directory: Path) -> None:
    """Nothing is exported in `directory` any more."""
    snippet(paths, directory).unlink(missing_ok=True)
    _tell_shells(paths)


def snippet(paths: Paths, directory: Path) -> Path:
    return Path(f"{paths.snippets}{str(directory).replace('/', '/=')}") / "env.bash"


def _tell_shells(paths: Paths) -> None:
    # A line that differs from the last one, which each hook compares at its prompt.
    if paths.snippets.exists():
        write_atomically(paths.snippets / "generation", f"{os.urandom(8).hex()}\n".encode())
