"""What `taowatch doctor` says of one part."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, BROKEN = "ok", "note", "broken"
"""It works; it is absent, and taowatch does without it; it should work and does not."""


@dataclass(frozen=True)
class Finding:
    """A part of the machine, its state, the reason, and the command that mends it."""

    name: str
    state: str
    reason: str
    mend: str = ""
