"""`taowatch` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Taowatch:
    """The command in a given environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *arguments: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "taowatch", *map(str, arguments)],
            env={**self.environment, **more},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def said(self, *arguments: object, cwd: Path | None = None, **more: str) -> str:
        """What it prints; it must succeed."""
        done = self(*arguments, cwd=cwd, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: object, cwd: Path | None = None, **more: str) -> Any:
        """The document that it prints with --json, whatever its exit code."""
        done = self(*arguments, "--json", cwd=cwd, **more)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: object, cwd: Path | None = None, code: int = 1, **more: str) -> str:
        """The one line in which it says why not."""
        done = self(*arguments, cwd=cwd, **more)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr
