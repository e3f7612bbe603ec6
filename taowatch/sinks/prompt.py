"""Alerts -> the file that the shell hooks read before the next prompt. Plain text: nothing in it is evaluated."""

from __future__ import annotations

import os
import zlib

from taowatch.core.effects import Alert
from taowatch.core.wording import printable
from taowatch.paths import Paths, private_directory, write_atomically


def write_alert(paths: Paths, alerts: tuple[Alert, ...]) -> None:
    """Write what the hook shows at the next prompt; without alerts there is no file. Raises OSError.

    The first line is our PID, as what a daemon says that died is not to be believed, and a stamp of the rest. The
    others are `JOB ID TEXT`: by the two words a shell knows what it has said already, and what is over.
    """
    file = paths.alert
    if not alerts:
        file.unlink(missing_ok=True)
        return
    private_directory(paths.runtime)
    lines = "".join(_line(alert) for alert in alerts)
    write_atomically(file, f"{os.getpid()} {_stamp(lines)}\n{lines}".encode("utf-8", "replace"))


def _line(alert: Alert) -> str:
    text = printable(alert.line)
    return f"{_stamp(alert.key)} {_stamp(text)} {text}\n"


def _stamp(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'replace')):08x}"
