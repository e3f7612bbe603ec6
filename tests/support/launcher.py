"""NVIDIA's real launcher in a real terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pexpect
import psutil

from tests.support.components import launcher_venv
from tests.support.engine import Engine
from tests.support.waiting import TooLate, wait_until

CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


class Launcher:
    """One `tao ...` command."""

    def __init__(self, environment: dict[str, str], engine: Engine) -> None:
        self.environment = environment
        self.engine = engine
        self.container: str | None = None
        self._child: pexpect.spawn | None = None
        self._output = ""

    def start(self, *arguments: str, cwd: Path | None = None, through: Sequence[str] = ()) -> Launcher:
        """Start the command as a user in `cwd` would, as arguments of `through` where that is given.

        The registry's login is a matter of form.
        """
        login = Path(self.environment["HOME"]) / ".docker/config.json"
        login.parent.mkdir(exist_ok=True)
        login.write_text('{"auths": {"nvcr.io": {}}}')
        words = [*through, str(launcher_venv() / "bin/tao"), *arguments]
        self._child = pexpect.spawn(
            words[0],
            words[1:],
            cwd=str(cwd) if cwd else None,
            env=self.environment,
            encoding="utf-8",
            dimensions=(50, 200),
        )
        return self

    @property
    def child(self) -> pexpect.spawn:
        assert self._child is not None, "not started"
        return self._child

    @property
    def pid(self) -> int:
        return int(self.child.pid)

    @property
    def output(self) -> str:
        """Everything printed so far."""
        self._drain()
        return self._output

    def _drain(self) -> None:
        """Read what there is: a full terminal would stop the command."""
        with suppress(pexpect.TIMEOUT, pexpect.EOF):
            while not self.child.closed:
                self._output += self.child.read_nonblocking(65536, timeout=0)

    @property
    def alive(self) -> bool:
        self._drain()
        return bool(self.child.isalive())

    def wait_for_container(self, timeout: float = 30) -> str:
        """The full id of its container, once the task runs in it."""
        wait_until(self._task_started, timeout, lambda: f"a container of tao: {self.output}")
        assert self.container
        return self.container

    def _task_started(self) -> bool:
        if not self.alive:
            raise AssertionError(f"tao ended without a container: {self.output}")
        self.container = self.container or self._container_of_exec()
        return self.container is not None and "stand-in:" in self.output

    def _container_of_exec(self) -> str | None:
        """Which container a `docker exec` below the launcher talks to."""
        with suppress(psutil.Error):
            for process in psutil.Process(self.pid).children(recursive=True):
                words = process.cmdline()
                if words[1:2] == ["exec"]:
                    return next((word for word in words if CONTAINER_ID.fullmatch(word)), None)
        return None

    def wait(self, timeout: float = 30) -> int | None:
        """The exit code, once the task has ended by itself."""
        wait_until(lambda: not self.alive, timeout, lambda: f"the end of tao: {self.output}")
        self.child.close()
        code: int | None = self.child.exitstatus
        return code

    def stop(self) -> None:
        """End it the way a user does, then make sure that nothing is left of it."""
        if self._child is None:
            return
        if self.alive:
            self.container = self.container or self._container_of_exec()
            self.child.sendintr()
            with suppress(TooLate):
                self.wait(20)
        self.child.close(force=True)
        if self.container:
            self.engine.remove_container(self.container)
