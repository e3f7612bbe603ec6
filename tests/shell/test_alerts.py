"""Alerts at the prompt: once per conflict and shell, never where nobody reads them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.shell.conftest import Hooked, each_shell


@each_shell
def test_each_conflict_is_said_once_in_each_shell(shell: str, hooked: Hooked) -> None:
    first, second = hooked.open(shell), hooked.open(shell)
    assert first.prompt() == ""
    hooked.alert("job1 yolo_v4.ipynb moved the folders; cost: $HOME `id` 'q' \\n %s")
    assert first.run("echo output") == (
        "output\ntaowatch: yolo_v4.ipynb moved the folders; cost: $HOME `id` 'q' \\n %s"
    )
    assert first.prompt() == ""
    assert "moved the folders" in second.prompt(), "each shell says it"
    hooked.alert("job1 yolo_v4.ipynb moved the folders; cost: $HOME `id` 'q' \\n %s", "job2 and another")
    assert first.prompt() == "taowatch: and another", "the first is not said again"
    hooked.alert("job2 and another")
    assert first.prompt() == "taowatch: one conflict is over, another is not"
    hooked.alert("job2 and another, changed")
    assert first.prompt() == "taowatch: and another, changed"
    hooked.alert()
    assert first.prompt() == "taowatch: the conflict is over"
    assert first.prompt() == ""
    hooked.alert("job2 and another, changed")
    assert first.prompt() == "taowatch: and another, changed", "the same again is a new conflict"


@each_shell
def test_without_a_daemon_nobody_says_that_it_is_over(shell: str, hooked: Hooked) -> None:
    tty = hooked.open(shell)
    hooked.alert("job moved")
    assert tty.prompt() == "taowatch: moved"
    # As the daemon leaves it when it is stopped.
    hooked.paths.status.unlink()
    hooked.paths.alert.unlink()
    assert tty.prompt() == ""
    hooked.alert("job moved")
    assert tty.prompt() == "", "it was said"
    hooked.alert()
    assert tty.prompt() == "taowatch: the conflict is over"


@each_shell
def test_what_a_dead_daemon_left_is_not_said(shell: str, hooked: Hooked) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    hooked.alert("job moved")
    text = hooked.paths.alert.read_text()
    hooked.paths.alert.write_text(text.replace(f"{os.getpid()} ", f"{dead.pid} ", 1))
    tty = hooked.open(shell)
    assert tty.greeting == ""
    hooked.paths.alert.write_text(text)
    assert tty.prompt() == "taowatch: moved"


@pytest.mark.parametrize("line", ["", "\n", "1 2", "x\n\n\n", "1 abc\nnot-a-job\n", "\0\xff\n"])
@each_shell
def test_a_damaged_alert_breaks_no_prompt(shell: str, line: str, hooked: Hooked) -> None:
    hooked.alert("job moved")
    hooked.paths.alert.write_bytes(line.encode("latin-1"))
    tty = hooked.open(shell)
    assert "taowatch: moved" not in tty.greeting
    hooked.alert("job moved")
    assert "taowatch: moved" in tty.prompt().splitlines()


@each_shell
def test_what_a_file_s_name_holds_does_not_reach_the_terminal(shell: str, hooked: Hooked) -> None:
    hooked.alert("job evil\x1b]0;title\x07\nsecond line\u202e")
    said = hooked.open(shell).greeting
    assert "\x1b" not in said
    assert said.count("\n") == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_that_is_not_interactive_says_nothing(shell: str, hooked: Hooked, home: Path) -> None:
    hooked.alert("job moved")
    project = hooked.plain(home / "p", NUM_GPUS="2")
    script = f"{hooked.line(shell)}; cd {project}; cd /; true"
    done = subprocess.run([shell, "-c", script], env=hooked.environment, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
