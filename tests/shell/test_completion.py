"""The Tab key, in the real shells: what click knows, through the hook."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell.conftest import Hooked

COMPINIT = ("", "autoload -Uz compinit && compinit -u -D")


@pytest.mark.parametrize(
    ("shell", "before", "after"),
    [("bash", "", ""), ("zsh", *COMPINIT[::-1]), ("zsh", *COMPINIT), ("fish", "", "")],
    ids=["bash", "zsh", "zsh, compinit after us", "fish"],
)
def test_commands_and_directories_are_completed(
    shell: str, before: str, after: str, hooked: Hooked, home: Path
) -> None:
    (home / "directory-here").mkdir()
    tty = hooked.open(shell, before, after, cwd=home)
    tty.child.send("taowatch den\t")
    tty.child.expect_exact("deny")
    tty.child.send("\x15taowatch allow direc\t")
    tty.child.expect_exact("directory-here")
    tty.child.send("\x15")
    assert tty.run("echo alive") == "alive"
