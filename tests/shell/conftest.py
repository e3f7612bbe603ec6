"""Projects, and shells that have the hook."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from taowatch.commands.hook import hook
from taowatch.commands.project import allow, deny
from taowatch.core.effects import Alert
from taowatch.core.layout import Variable
from taowatch.paths import PROJECT_FILE, Paths
from taowatch.sinks.prompt import write_alert
from taowatch.sinks.shell_snippets import write_snippet
from tests.support.terminal import Terminal

SHELLS = ("bash", "zsh", "fish")
each_shell = pytest.mark.parametrize("shell", SHELLS)
LINES = {
    "bash": 'eval "$(<{file})"',
    "zsh": 'eval "$(<{file})"',
    "fish": "source {file}",
}


class Hooked:
    """What the tests of the hook do over and over."""

    def __init__(self, environment: dict[str, str], terminal: Callable[..., Terminal], folder: Path) -> None:
        self.paths = Paths.of(environment)
        self.environment = environment
        self._terminal = terminal
        self._folder = folder

    def line(self, shell: str) -> str:
        """The line of the startup file. The text is made beforehand: one Python less in each test."""
        file = self._folder / f"hook.{shell}"
        file.write_bytes(hook(self.paths, shell))
        return LINES[shell].format(file=file)

    def open(self, shell: str, before: str = "", after: str = "", cwd: Path | None = None, **more: str) -> Terminal:
        """A terminal whose startup file has the hook, with lines before and after it."""
        return self._terminal(shell, f"{before}\n{self.line(shell)}\n{after}", cwd or self._folder, **more)

    def project(self, directory: Path, variables: str = "") -> Path:
        """An allowed project, by the real commands; `variables` are lines of TOML."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PROJECT_FILE).write_text(f'layout = "local"\n[variables]\n{variables}')
        allow(self.paths, directory)
        return directory.resolve()

    def plain(self, directory: Path, quiet: bool = False, **variables: str) -> Path:
        """A project that exports these variables and no others."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PROJECT_FILE).write_text("")
        directory = directory.resolve()
        known = [Variable(name, value, "both", "config") for name, value in variables.items()]
        write_snippet(self.paths, directory, directory.name, known, quiet)
        return directory

    def deny(self, directory: Path) -> None:
        deny(self.paths, directory)

    def alert(self, *lines: str) -> None:
        """What the daemon has to tell: `JOB TEXT` each. As of a daemon that runs."""
        self.paths.runtime.mkdir(mode=0o700, exist_ok=True)
        self.paths.status.write_text("{}")
        words = [line.partition(" ") for line in lines]
        write_alert(self.paths, tuple(Alert(job, "critical", "", "", text) for job, _, text in words))


@pytest.fixture
def hooked(environment: dict[str, str], terminal: Callable[..., Terminal], tmp_path: Path) -> Hooked:
    os.environ.pop("TAOWATCH_QUIET", None)
    return Hooked(environment, terminal, tmp_path)
