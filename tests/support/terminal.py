"""Real interactive shells in a pseudo-terminal.

Two marks that no command prints make the conversation unmistakable: one just before a command runs, one as
the prompt. What stands between them is what the command and the hooks before the prompt printed.
"""

from __future__ import annotations

import re
import shlex
import uuid
from pathlib import Path

import pexpect

CONTROL = re.compile(
    r"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[=>78]|[\x07\x0f]"
)


class Terminal:
    """A shell that is talked to line by line."""

    term = "dumb"
    noise = re.compile(r"(?!)")  # what this shell prints of its own accord; nothing by default

    def __init__(self, environment: dict[str, str], rcfile_text: str, cwd: Path, folder: Path) -> None:
        self.folder = folder
        unique = uuid.uuid4().hex[:8]
        self.ready, self.begin = f"<tw-ready-{unique}>", f"<tw-begin-{unique}>"
        rcfile = folder / self.rcfile_name()
        rcfile.write_text(f"{rcfile_text}\n{self.marks()}\n", encoding="utf-8")
        command, *arguments = self.command(rcfile)
        self.child = pexpect.spawn(
            command,
            arguments,
            env=self.variables(environment),
            cwd=str(cwd),
            encoding="utf-8",
            dimensions=(50, 200),
            timeout=20,
        )
        self.child.delaybeforesend = None
        self.greeting = self._until_prompt()

    def rcfile_name(self) -> str:
        return "rcfile"

    def variables(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "TERM": self.term}

    def command(self, rcfile: Path) -> list[str]:
        """How the shell is started with this startup file and no other."""
        raise NotImplementedError

    def marks(self) -> str:
        """The lines of the startup file that set both marks."""
        raise NotImplementedError

    def run(self, command: str) -> str:
        """What one line of input prints, with what the hooks print before the next prompt."""
        assert "\n" not in command, "one line at a time"
        self.child.send(command + "\r")
        self.child.expect_exact(self.begin)
        return self._until_prompt()

    def prompt(self) -> str:
        """What is printed before the next prompt when an empty line is entered."""
        self.child.send("\r")
        return self._until_prompt()

    def value(self, variable: str) -> str | None:
        """A variable as a child process sees it; None where it is not in the environment."""
        found = self.run(f"env | grep '^{variable}=' || true")
        return found.partition("=")[2] if found else None

    @property
    def pid(self) -> int:
        return int(self.child.pid)

    def _until_prompt(self) -> str:
        try:
            self.child.expect_exact(self.ready)
        except (pexpect.EOF, pexpect.TIMEOUT) as error:
            raise AssertionError(f"{type(self).__name__}: no prompt after {self.child.before!r}") from error
        text = self.noise.sub("", CONTROL.sub("", self.child.before or ""))
        return re.sub(r"\r+\n?", "\n", text).strip("\n ")

    def close(self) -> None:
        """End the shell and whatever it still runs, as closing a terminal does."""
        self.child.close(force=True)


class BashTerminal(Terminal):
    """PS0 is the mark before a command; it is expanded after reading and before running."""

    def command(self, rcfile: Path) -> list[str]:
        return ["bash", "--noprofile", "--rcfile", str(rcfile), "-i"]

    def marks(self) -> str:
        return f"PS0={shlex.quote(self.begin)} PS1={shlex.quote(self.ready)} PS2='> '; unset HISTFILE"


class ZshTerminal(Terminal):
    """zsh finds its startup file in a folder of its own."""

    def rcfile_name(self) -> str:
        return ".zshrc"

    def variables(self, environment: dict[str, str]) -> dict[str, str]:
        return {**super().variables(environment), "ZDOTDIR": str(self.folder)}

    def command(self, rcfile: Path) -> list[str]:
        return ["zsh", "-o", "no_global_rcs", "-i"]

    def marks(self) -> str:
        return (
            f"__tw_begin() {{ print -rn -- {shlex.quote(self.begin)} }}; preexec_functions+=(__tw_begin)\n"
            f"unsetopt prompt_sp prompt_cr; PS1={shlex.quote(self.ready)} PS2='> '; unset HISTFILE"
        )


class FishTerminal(Terminal):
    """fish tells both moments by events and functions, and marks the end of output before each prompt."""

    noise = re.compile(r"⏎ +\r⏎ \r")

    def command(self, rcfile: Path) -> list[str]:
        return ["fish", "--no-config", "--private", "-i", "-C", f"source {shlex.quote(str(rcfile))}"]

    def marks(self) -> str:
        return (
            f"function __tw_begin --on-event fish_preexec; printf %s {shlex.quote(self.begin)}; end\n"
            f"function fish_prompt; printf %s {shlex.quote(self.ready)}; end\n"
            "function fish_right_prompt; end; function fish_mode_prompt; end\n"
            "set -g fish_greeting; set -g fish_autosuggestion_enabled 0; function fish_title; end"
        )


SHELLS: dict[str, type[Terminal]] = {"bash": BashTerminal, "zsh": ZshTerminal, "fish": FishTerminal}
