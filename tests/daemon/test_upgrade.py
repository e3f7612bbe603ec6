"""A program that is replaced under its daemon."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import taowatch
from tests.support.daemon import Daemon
from tests.support.waiting import wait_until


def test_an_upgraded_daemon_starts_anew(
    daemon: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # `-m` looks there first
    package = tmp_path / "site/taowatch"
    shutil.copytree(Path(taowatch.__file__).parent, package)
    running = daemon(PYTHONPATH=str(package.parent))
    pid = running.pid
    init = package / "__init__.py"
    text = init.read_text()
    init.unlink()  # as an installer does, for a moment
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: running.alive, 5)
    init.write_text(text.replace('__version__ = "', '__version__ = "9.'))
    os.kill(pid, signal.SIGHUP)

    def version() -> str:
        return str((running.snapshot().get("daemon") or {}).get("taowatch", ""))

    wait_until(lambda: version().startswith("9."), 20, lambda: running.log)
    assert running.snapshot()["daemon"]["pid"] == pid
    assert running.alive
    assert running.stop() == 0
    assert "starting anew" in running.log
    assert "Traceback" not in running.log
