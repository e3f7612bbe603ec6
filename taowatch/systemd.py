"""What systemd wants to hear from a service of Type=notify (sd_notify(3)): one datagram a message."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def tell(environ: Mapping[str, str], message: str) -> None:
    """Send `READY=1`, `WATCHDOG=1`, `STOPPING=1`, …; without a service manager nothing happens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.send(message.encode())
        except OSError:
            pass  # the manager went away: nobody is left to be told


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Seconds between two pings, half of what the manager allows; None where it does not ask."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdigit() else None
