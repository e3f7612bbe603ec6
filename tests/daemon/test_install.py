"""Installing where no service manager runs, and what doctor and logs say."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until


class User:
    """Somebody who runs taowatch in the scratch home."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "taowatch", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def user(environment: dict[str, str]) -> Iterator[User]:
    environment["SHELL"] = "/bin/bash"
    someone = User(environment)
    yield someone
    someone("uninstall")


def tree(home: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in home.rglob("*") if path.is_file() and "state" not in path.parts}


def test_without_a_manager_the_session_starts_it(user: User, home: Path, sandbox: Sandbox) -> None:
    (home / ".bashrc").write_text("# mine, without an end of line")
    before = tree(home)
    shown = user("install", "--dry-run").stdout
    assert tree(home) == before
    done = user("install")
    assert done.returncode == 0, done.stdout + done.stderr
    pid = json.loads(user("status", "--json").stdout)["daemon"]["pid"]
    assert pid
    for path in (home / ".bashrc", home / ".config/autostart/taowatch.desktop"):
        assert f"+++ {path}" in shown
        assert all(f"+{line}" in shown for line in path.read_text().splitlines()[1:])
    assert "daemon --detach" in (home / ".bashrc").read_text()
    assert "Everything is in place." in user("install").stdout
    assert user("daemon", "--detach").returncode == 0
    assert json.loads(user("status", "--json").stdout)["daemon"]["pid"] == pid
    assert user("uninstall").returncode == 0
    assert tree(home) == {name: f"{text}\n" for name, text in before.items()}
    assert not (sandbox.runtime / "taowatch").exists()
    assert not (home / ".config/autostart").exists()
    assert "Nothing is installed." in user("uninstall").stdout


def test_a_new_shell_starts_the_daemon_once(user: User, home: Path) -> None:
    assert user("install").returncode == 0
    assert user("status", "--json").returncode == 0
    pid = json.loads(user("status", "--json").stdout)["daemon"]["pid"]
    os.kill(pid, 9)
    for _ in range(3):
        subprocess.run(
            ["bash", "--rcfile", home / ".bashrc", "-i", "-c", "true"],
            env=user.environment,
            timeout=20,
            capture_output=True,
        )

    def running() -> bool:
        daemon = json.loads(user("status", "--json").stdout)["daemon"]
        return bool(daemon["running"] and daemon["pid"] != pid)

    wait_until(running, 15, "the daemon", pause=0.2)


def test_links_and_read_only_files(user: User, home: Path) -> None:
    kept = home / "dotfiles/bashrc"
    kept.parent.mkdir()
    kept.write_text("# mine\n")
    kept.chmod(0o640)
    (home / ".bashrc").symlink_to(kept)
    assert user("install").returncode == 0
    assert (home / ".bashrc").is_symlink()
    assert "taowatch" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert user("uninstall").returncode == 0
    assert kept.read_text() == "# mine\n"


def test_what_was_changed_by_hand_is_left_and_said(user: User, home: Path) -> None:
    (home / ".bashrc").write_text('eval "$(taowatch hook bash)"\n')
    entry = home / ".config/autostart/taowatch.desktop"
    entry.parent.mkdir(parents=True)
    entry.write_text("[Desktop Entry]\n")
    before = tree(home)
    done = user("install")
    assert tree(home) == before
    assert "has a hook line of yours" in done.stdout
    assert f"{entry} is not written by taowatch" in done.stdout
    assert user("uninstall").returncode == 0
    assert tree(home) == before


def test_a_borrowed_environment_is_refused(user: User, home: Path) -> None:
    user.environment["XDG_CACHE_HOME"] = str(Path(sys.prefix).parent)
    done = user("install")
    assert done.returncode == 1
    assert "temporary environment" in done.stderr


def test_logs_show_the_end_and_nothing_that_a_terminal_obeys(user: User, home: Path) -> None:
    assert user("logs").returncode == 1
    assert user("install").returncode == 0
    log = next((home / ".local/state/taowatch").glob("log-*.txt"))
    with log.open("a") as file:
        file.write("one\n\x1b[31mtwo\n")
    assert "one\n\N{REPLACEMENT CHARACTER}[31mtwo\n" in user("logs").stdout
    assert len(user("logs", "-n", "2").stdout.splitlines()) == 2


def test_logs_follow_across_a_rotation(user: User, home: Path) -> None:
    assert user("install").returncode == 0
    log = next((home / ".local/state/taowatch").glob("log-*.txt"))
    reader = subprocess.Popen(
        [sys.executable, "-m", "taowatch", "logs", "-f", "-n", "1"],
        env={**user.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout
    try:
        assert reader.stdout.readline()
        log.rename(f"{log}.1")
        log.write_text("after the rotation\n")
        assert "after the rotation\n" in iter(reader.stdout.readline, "")
    finally:
        reader.terminate()
        reader.wait(10)
        reader.stdout.close()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_hook_of_each_shell_in_use(user: User, home: Path, shell: str, requires: Callable[..., None]) -> None:
    requires(shell)
    startup = home / (".zshrc" if shell == "zsh" else ".config/fish/config.fish")
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text("# mine\n")
    before = tree(home)
    assert user("install").returncode == 0
    asked = "functions -q __taowatch_hook" if shell == "fish" else "typeset -f __taowatch_hook >/dev/null"
    command = [shell, "-i", "-c", f"{asked} && echo hooked"]
    done = subprocess.run(command, env=user.environment, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip().endswith("hooked"), done.stdout + done.stderr
    assert user("uninstall").returncode == 0
    assert tree(home) == before
