"""Alerts -> the user's own command, with the alert as JSON on its standard input."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from taowatch.core.wording import printable

log = logging.getLogger(__name__)

TIMEOUT = 30
"""Seconds. A command that hangs is ended, so that the next alert is not the one that waits for it."""


def run_command(command: Sequence[str], document: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Run `command` and wait for it. Whatever goes wrong is logged: a broken command must not silence the rest."""
    try:
        done = subprocess.run(
            list(command),
            input=json.dumps(document).encode(),
            env=dict(environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        log.warning("notify.command: %s", printable(str(error)))
        return
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        log.warning("notify.command ended with %d: %s", done.returncode, printable(said[0][:200]))
