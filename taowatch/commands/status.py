"""`taowatch status`: what the daemon sees, or, where none runs, a look of our own through the same rules."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from taowatch.core import report
from taowatch.core.conflict import INFO
from taowatch.lock import holder, is_held
from taowatch.paths import Paths
from taowatch.render import Result


def status(paths: Paths, environ: Mapping[str, str], exit_code: bool = False) -> Result:
    """With `exit_code`, 1 where there is a conflict that is more than a piece of information."""
    document = snapshot(paths) or look(paths, environ)
    code = 1 if exit_code and any(c["severity"] != INFO for c in document["conflicts"]) else 0
    return Result(report.text(document), document, code)


def snapshot(paths: Paths) -> dict[str, Any] | None:
    """What the running daemon wrote last, or None where none runs."""
    if not is_held(paths.lock):
        return None
    try:
        document: Any = json.loads(paths.status.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # it is just starting or stopping, or cannot write
    return document if isinstance(document, dict) and document.get("version") == report.VERSION else None


def look(paths: Paths, environ: Mapping[str, str]) -> dict[str, Any]:
    """The same document without a daemon's help. It cannot know since when a conflict has been there."""
    from taowatch.commands.looking import look_once

    state = look_once(paths, environ, time.time())
    return report.document(state, {"running": is_held(paths.lock), "pid": holder(paths.lock), "since": None})
