"""The real daemon as a child of the test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until


class Daemon:
    """`taowatch daemon` in a given environment, possibly behind a program that prepares it and then becomes it."""

    def __init__(
        self,
        environment: Mapping[str, str],
        env_overrides: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.environment = {**environment, **(env_overrides or {})}
        self.prefix = tuple(prefix)
        self.process: subprocess.Popen[bytes] | None = None
        self._log = Path(tempfile.mkdtemp(dir=self.environment["XDG_RUNTIME_DIR"], prefix="log-")) / "stderr"

    def start(self, timeout: float = 20) -> Daemon:
        """Start it and wait until its snapshot names this very process."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "taowatch", "daemon"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._ready, timeout, lambda: f"the daemon: {self.log}")
        return self

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"the daemon ended: {self.log}")
        daemon = self.snapshot().get("daemon") or {}
        return bool(daemon.get("pid") == self.process.pid)

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def snapshot(self) -> dict[str, Any]:
        """The status file as it stands; empty before there is one."""
        path = Path(self.environment["XDG_RUNTIME_DIR"]) / "taowatch/status.json"
        with suppress(FileNotFoundError, ValueError):
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        return {}

    def status(self) -> dict[str, Any]:
        """What `taowatch status --json` says."""
        done = self.command("status", "--json")
        if done.returncode:
            raise AssertionError(f"status failed: {done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def command(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Any taowatch command in the daemon's environment."""
        return subprocess.run(
            [sys.executable, "-m", "taowatch", *arguments],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def stop(self, timeout: float = 10) -> int | None:
        """End it the way the service manager does."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> int | None:
        """End it the way a crash does."""
        return self._end(signal.SIGKILL, 10)

    def _end(self, how: signal.Signals, timeout: float) -> int | None:
        if self.process is None:
            return None
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not end within {timeout:g} s of {how.name}: {self.log}") from None
