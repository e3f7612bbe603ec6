"""Put a revision back, and lose nothing by it: what stands in the file at that moment is kept first."""

from __future__ import annotations

from pathlib import Path

from taowatch.core.effects import KeepRevision
from taowatch.core.model import NOBODY, OK, Revision
from taowatch.sinks.history import History
from taowatch.sources.reading import read_mounts_file


def restore(history: History, number: int, home: Path, by: str = "taowatch restore") -> Revision:
    """Write a revision back to its file; returns the new revision. Raises TaowatchError or OSError."""
    keep_present(history, history.revision(number).path, home)
    return history.restore(number, by)


def keep_present(history: History, path: str, home: Path) -> None:
    """Keep what stands in the file, where nobody did: no daemon runs, or it was written a moment ago."""
    reading = read_mounts_file(path, home)
    if reading.content is None or not reading.content.strip() or reading.digest is None:
        return
    binds = tuple(sorted(reading.mapping.binds().items())) if reading.state == OK else None
    history.add(KeepRevision(path, reading.content, reading.digest, binds, reading.written_at or 0.0, NOBODY))
