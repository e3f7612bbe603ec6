"""What a command returns, and the one place where it is printed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """Text for people, the same as a JSON document where the command has one, and the exit code."""

    text: str
    document: Any = None
    code: int = 0
    stream: bytes | None = None
    """Output for a program to read, byte for byte, in the place of `text`."""


def show(result: Result, as_json: bool = False) -> int:
    """Print a result; returns the exit code."""
    if as_json:
        print(json.dumps(result.document, indent=2))
    elif result.stream is not None:
        sys.stdout.buffer.write(result.stream)
        sys.stdout.buffer.flush()
    elif result.text:
        # What no terminal encoding can hold (surrogates of a strange file name) is shown escaped.
        encoding = sys.stdout.encoding or "utf-8"
        print(result.text.encode(encoding, "backslashreplace").decode(encoding))
    return result.code
