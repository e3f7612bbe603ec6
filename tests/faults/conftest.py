"""What every fault happens to: a daemon, a mounts file, and a container that holds what the file gave."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.engine import Engine
from tests.support.waiting import wait_until

DESTINATION = "/workspace/tao-experiments"


class Scene:
    """A home with a mounts file, and the daemon that watches it."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.environment = environment
        self.file = home / ".tao_mounts.json"
        self.daemons: list[Daemon] = []

    @property
    def daemon(self) -> Daemon:
        return self.daemons[-1]

    def start(self, prefix: Sequence[str] = (), **more: str) -> Daemon:
        self.daemons.append(Daemon(self.environment, more, prefix))
        return self.daemons[-1].start()

    def project(self, name: str) -> Path:
        directory = self.home.parent / name  # outside the home, which may be covered by another
        directory.mkdir(exist_ok=True)
        return directory

    def text(self, name: str) -> str:
        return json.dumps({"Mounts": [{"source": str(self.project(name)), "destination": DESTINATION}]})

    def write(self, name: str) -> None:
        self.file.write_text(self.text(name))

    def seen(self) -> str | None:
        """The project to which the file leads, as the daemon sees it."""
        mounts = (self.daemon.snapshot().get("mounts_file") or {}).get("mounts") or [{}]
        source = mounts[0].get("source")
        return os.path.basename(source) if source else None

    def until_seen(self, name: str, timeout: float = 10) -> None:
        wait_until(lambda: self.seen() == name, timeout, lambda: f"{name}: {self.daemon.snapshot()} {self.daemon.log}")

    def conflicts(self) -> list[str]:
        """Where the file leads instead, for each conflict."""
        found: list[dict[str, Any]] = self.daemon.snapshot().get("conflicts") or []
        return [os.path.basename(str(conflict["actual"])) for conflict in found]

    def until_conflict(self, name: str, timeout: float = 10) -> None:
        wait_until(
            lambda: self.conflicts() == [name], timeout, lambda: f"{name}: {self.daemon.snapshot()} {self.daemon.log}"
        )

    def until_quiet(self, timeout: float = 10) -> None:
        wait_until(lambda: self.conflicts() == [], timeout, lambda: f"no conflict: {self.daemon.snapshot()}")

    def revisions(self) -> int | None:
        found: int | None = self.daemon.snapshot()["mounts_file"]["revision"]
        return found

    def hold(self, engine: Engine, run: Callable[..., str], name: str = "one") -> str:
        """A container that holds what the file gives now."""
        self.write(name)
        self.until_seen(name)
        wait_until(lambda: self.revisions(), 5, "the revision")
        container = run(engine, binds={self.project(name): DESTINATION})
        wait_until(lambda: self.daemon.snapshot()["jobs"], 15, lambda: f"the job: {self.daemon.snapshot()}")
        return container


@pytest.fixture
def scene(home: Path, environment: dict[str, str]) -> Iterator[Scene]:
    """A scene whose daemon is not started yet. Whatever happens, no log may hold a traceback."""
    made = Scene(home, environment)
    yield made
    for each in made.daemons:
        if each.alive:
            each.stop()
    for each in made.daemons:
        assert "Traceback (most recent call last)" not in each.log, each.log
