"""Which notifications are on the desktop, on disk: a daemon that comes again neither repeats nor orphans them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taowatch.core.effects import Alert
from taowatch.errors import TaowatchError
from taowatch.paths import private_directory, write_atomically

log = logging.getLogger(__name__)


class Memory:
    """Ids that a notification server gave, by alert. They are worth something to that server only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._server, self._told = _read(path) if path else ("", {})

    def meet(self, server: str) -> None:
        """From now on this is the server; what another one showed is forgotten."""
        if server != self._server:
            self._server, self._told = server, {}

    def keep(self, shown: Mapping[str, tuple[int, Alert]]) -> None:
        """The connection is gone; what it showed may still be there."""
        self._told.update({key: (id, _digest(alert)) for key, (id, alert) in shown.items()})

    def take(self, alert: Alert) -> tuple[int, bool]:
        """The id under which an alert's key was shown (0: never), and whether with this very content."""
        id, digest = self._told.pop(alert.key, (0, ""))
        return id, digest == _digest(alert)

    def take_all(self, wanted: set[str]) -> list[int]:
        """The ids of what was shown and is not wanted any more."""
        return [self._told.pop(key)[0] for key in list(self._told) if key not in wanted]

    def save(self, shown: Mapping[str, tuple[int, Alert]]) -> None:
        """Best effort: without it, a restarted daemon would say again what still holds."""
        if self._path is None:
            return
        told = {**self._told, **{key: (id, _digest(alert)) for key, (id, alert) in shown.items()}}
        try:
            private_directory(self._path.parent)
            write_atomically(self._path, json.dumps({"server": self._server, "shown": told}).encode())
        except (OSError, TaowatchError) as error:
            log.debug("%s", error)


def _read(path: Path) -> tuple[str, dict[str, tuple[int, str]]]:
    try:
        document: Any = json.loads(path.read_bytes())
        shown = {str(key): (int(id), str(digest)) for key, (id, digest) in document["shown"].items()}
        return str(document["server"]), {key: told for key, told in shown.items() if 0 < told[0] < 2**32}
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        log.warning("%s is damaged and passed over: %s", path, error)
        return "", {}


def _digest(alert: Alert) -> str:
    return hashlib.sha256(repr(alert).encode("utf-8", "surrogateescape")).hexdigest()[:16]
