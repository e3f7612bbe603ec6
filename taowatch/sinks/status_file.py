"""The state -> the snapshot that `taowatch status` reads."""

from __future__ import annotations

import json
from typing import Any

from taowatch.paths import Paths, private_directory, write_atomically


def write_status(paths: Paths, document: dict[str, Any]) -> None:
    """Write what `taowatch status` reads. Raises OSError, and then leaves no older answer behind."""
    private_directory(paths.runtime)
    try:
        write_atomically(paths.status, json.dumps(document, indent=1).encode())
    except OSError:
        # Without a snapshot, the command looks for itself.
        paths.status.unlink(missing_ok=True)
        raise
