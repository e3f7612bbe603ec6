"""`taowatch logs`: the daemon's own log file, which is there where no journal is kept."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from taowatch.core.wording import printable
from taowatch.errors import TaowatchError
from taowatch.paths import Paths
from taowatch.render import Result

_PAUSE = 0.5
"""Seconds between two looks while a person watches."""


def logs(paths: Paths, lines: int) -> Result:
    """The last lines. Raises TaowatchError where there is no log."""
    found: deque[str] = deque(maxlen=lines)
    for path in (Path(f"{paths.log}.1"), paths.log):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                found.extend(printable(line.rstrip("\n")) for line in file)
        except FileNotFoundError:
            continue
    if not paths.log.exists():
        raise TaowatchError(f"there is no log at {paths.log}", "`taowatch install` sets the daemon up")
    return Result("\n".join(found))


def follow(paths: Paths) -> Iterator[str]:
    """What is added from this call on, for ever, across the log's rotation."""
    file = paths.log.open(encoding="utf-8", errors="replace")
    file.seek(0, os.SEEK_END)
    return _added(paths.log, file)


def _added(path: Path, file: TextIO) -> Iterator[str]:
    while True:
        line = file.readline()
        if line:
            yield printable(line.rstrip("\n"))
        elif _replaced(file.fileno(), path):
            file.close()
            file = path.open(encoding="utf-8", errors="replace")
        else:
            time.sleep(_PAUSE)


def _replaced(descriptor: int, path: Path) -> bool:
    try:
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
