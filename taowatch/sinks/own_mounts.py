"""The mounts files of single projects, for LAUNCHER_MOUNTS: kept in step with what their notebooks write."""

from __future__ import annotations

import os
from pathlib import Path

from taowatch.paths import private_directory, write_atomically


def follow_mapping(file: Path, content: bytes, written_at: float = float("inf")) -> bool:
    """Write a project's mapping into its own file, unless that is the same or newer; returns whether it was written.

    `written_at` is when the content came to be, in seconds since the epoch. Raises OSError.
    """
    try:
        if file.stat().st_mtime > written_at or file.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    private_directory(file.parent.parent)
    private_directory(file.parent)
    write_atomically(file, content)
    if written_at != float("inf"):
        # The time of the content, not of this copy: of two quick writes the second must not look older than the first.
        os.utime(file, (written_at, written_at))
    return True
