"""Alerts -> the file that the shell hook sources before the next prompt."""

from __future__ import annotations

import zlib

from taowatch.core.effects import Alert
from taowatch.core.quoting import bash
from taowatch.paths import Paths, private_directory, write_atomically


def write_alert(paths: Paths, alerts: tuple[Alert, ...]) -> None:
    """Write what the hook shows at the next prompt; without alerts there is no file. Raises OSError."""
    file = paths.alert("bash")
    if not alerts:
        file.unlink(missing_ok=True)
        return
    private_directory(paths.runtime)
    text = "\n".join(alert.line for alert in alerts)
    # The id tells the shells whether they said it already.
    lines = (f"__taowatch_alert_id={zlib.crc32(text.encode())}", f"__taowatch_alert={bash(text)}", "")
    write_atomically(file, "\n".join(lines).encode("utf-8", "surrogateescape"))
