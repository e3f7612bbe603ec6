"""Entering and leaving projects, in each real shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taowatch.commands.hook import hook
from taowatch.errors import TaowatchError
from taowatch.paths import PROJECT_FILE, Paths
from tests.shell.conftest import Hooked, each_shell
from tests.support.components import REPOSITORY, requires
from tests.support.terminal import Terminal

REAL_LINES = {
    "bash": f'eval "$({sys.executable} -m taowatch hook bash)"',
    "zsh": f'eval "$({sys.executable} -m taowatch hook zsh)"',
    "fish": f"{sys.executable} -m taowatch hook fish | source",
}
ALLOWED_NO_MORE = "changed and is not allowed any more; to allow it as it is now: taowatch allow"


@each_shell
def test_a_project_s_variables_come_and_go(
    shell: str, hooked: Hooked, terminal: Callable[..., Terminal], home: Path
) -> None:
    project = hooked.project(home / "tao/yolo_v4", 'NUM_GPUS = "2"\n')
    (project / "specs").mkdir()
    tty = terminal(shell, REAL_LINES[shell], home)
    assert tty.greeting == ""
    assert tty.run(f"cd {project}/specs") == "taowatch: yolo_v4, 8 variables"
    assert tty.value("LOCAL_PROJECT_DIR") == str(project)
    assert tty.value("TAOWATCH_PROJECT") == str(project)
    assert tty.value("NUM_GPUS") == "2"
    assert tty.run("cd ..") == ""
    assert tty.value("SPECS_DIR") == "/workspace/tao-experiments/yolo_v4/specs"
    assert tty.run("cd ..") == ""
    assert tty.run("env | grep -E 'LOCAL|TAOWATCH_[PS]|GPUS|SPECS|DOWNLOAD|EXPERIMENT' || true") == ""


@each_shell
def test_the_nearest_project_wins_and_nothing_of_the_first_stays(shell: str, hooked: Hooked, home: Path) -> None:
    outer = hooked.plain(home / "outer", NUM_GPUS="1", DATA_DIR="/outer")
    inner = hooked.plain(home / "outer/inner", NUM_GPUS="2")
    other = hooked.plain(home / "other", SPECS_DIR="/other")
    tty = hooked.open(shell, cwd=outer)
    assert tty.greeting == "taowatch: outer, 2 variables"
    assert tty.run(f"cd {inner}") == "taowatch: inner, 1 variables"
    assert (tty.value("NUM_GPUS"), tty.value("DATA_DIR")) == ("2", None)
    assert tty.run(f"cd {other}") == "taowatch: other, 1 variables"
    assert (tty.value("NUM_GPUS"), tty.value("SPECS_DIR")) == (None, "/other")
    assert tty.run(f"cd {outer}") == "taowatch: outer, 2 variables"
    assert (tty.value("NUM_GPUS"), tty.value("SPECS_DIR")) == ("1", None)


@each_shell
def test_a_changed_project_is_taken_back_and_says_so_once(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "it's", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=project)
    file = project / PROJECT_FILE
    stamp = file.stat()
    file.write_text("# changed\n")
    said = tty.prompt()
    assert ALLOWED_NO_MORE in said
    quoted = said.rpartition(" allow ")[2]
    assert tty.run(f"test -d {quoted} && echo it is").endswith("it is"), "what it says can be typed"
    assert tty.prompt() == ""
    assert tty.value("NUM_GPUS") is None
    assert tty.run("cd /") == ""
    (home / "link").symlink_to(project)
    assert tty.run(f"cd {home}/link") == "", "once, not at each visit"
    # As it was allowed, though with another time: the content decides.
    file.write_text("")
    assert tty.prompt() == "taowatch: it's, 1 variables"
    assert tty.value("NUM_GPUS") == "2"
    # An older file in its place, with the time of neither.
    file.write_text("# older\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns - 10**12))
    tty.prompt()
    assert tty.value("NUM_GPUS") is None
    hooked.plain(project, NUM_GPUS="4")
    assert tty.prompt() == "taowatch: it's, 1 variables"
    assert tty.value("NUM_GPUS") == "4"


@each_shell
def test_a_changed_project_is_not_entered(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    (project / PROJECT_FILE).write_text("# changed\n")
    tty = hooked.open(shell, cwd=home)
    assert tty.run(f"cd {project}") == f"taowatch: {project} {ALLOWED_NO_MORE} {project}"
    assert tty.value("NUM_GPUS") is None


@each_shell
def test_a_change_right_after_it_was_allowed_is_seen(shell: str, hooked: Hooked, home: Path) -> None:
    # Ten times, as within one step of the system's clock two versions of a file have one time.
    project = home / "p"
    hooked.plain(project)
    tty = hooked.open(shell, cwd=project)
    for number in range(10):
        hooked.plain(project, NUM_GPUS=str(number))
        (project / PROJECT_FILE).write_text("#")
        assert ALLOWED_NO_MORE in tty.prompt()


@each_shell
def test_a_denied_project_is_taken_back(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "a b", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=project)
    hooked.deny(project)
    assert "a b" in (said := tty.prompt().replace("\\", ""))
    assert "is not allowed any more" in said
    assert tty.value("NUM_GPUS") is None
    assert tty.prompt() == ""


@each_shell
def test_a_deleted_project_is_left_and_may_come_back(shell: str, hooked: Hooked, home: Path) -> None:
    outer = hooked.plain(home / "outer", NUM_GPUS="1")
    inner = hooked.plain(outer / "inner", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=inner)
    (inner / PROJECT_FILE).rename(home / "kept")
    assert tty.prompt().splitlines() == [
        f"taowatch: {inner} has no .taowatch.toml any more; to allow it as it is now: taowatch init {inner}",
        "taowatch: outer, 1 variables",
    ]
    assert tty.value("NUM_GPUS") == "1"
    (home / "kept").rename(inner / PROJECT_FILE)
    assert tty.prompt() == "taowatch: inner, 1 variables"
    shutil.rmtree(inner)
    tty.prompt()
    assert tty.value("NUM_GPUS") == "1"


@each_shell
def test_a_project_is_found_through_a_symlink(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    (project / "sub").mkdir()
    (home / "link").symlink_to(project)
    tty = hooked.open(shell, cwd=home)
    tty.run("cd /tmp")
    assert tty.run(f"cd {home}/link/sub") == "taowatch: p, 1 variables"
    assert tty.run("pwd") == f"{home}/link/sub"
    assert tty.value("TAOWATCH_PROJECT") == str(project)
    assert tty.run("cd -") in ("", "/tmp"), "where the shell came from is not lost"
    assert tty.value("NUM_GPUS") is None


@each_shell
def test_a_symlink_that_leads_elsewhere_by_now_does_not_move_the_shell(shell: str, hooked: Hooked, home: Path) -> None:
    for name in ("one", "two"):
        hooked.plain(home / name, NUM_GPUS=name)
    (home / "link").symlink_to(home / "one")
    tty = hooked.open(shell, cwd=home)
    tty.run(f"cd {home}/link")
    (home / "link").unlink()
    (home / "link").symlink_to(home / "two")
    hooked.plain(home / "three")
    tty.prompt()
    assert tty.run("readlink /proc/self/cwd") == str(home / "one")


@each_shell
def test_home_and_root_may_be_projects_with_any_name(shell: str, hooked: Hooked, tmp_path: Path) -> None:
    # 255 bytes is the longest name; a line break, spaces and quotes are part of it.
    project = hooked.plain(tmp_path / ("a \n'\"$(x)`" + "é" * 122 + "x"), NUM_GPUS="2")
    (tmp_path / "short").symlink_to(project)
    tty = hooked.open(shell)
    tty.run(f"cd {tmp_path}/short")
    assert tty.value("NUM_GPUS") == "2"
    hooked.plain(tmp_path, NUM_GPUS="3")
    tty.run("cd ..")
    assert tty.value("NUM_GPUS") == "3"


@each_shell
def test_quiet_says_nothing(shell: str, hooked: Hooked, home: Path) -> None:
    quiet, loud = hooked.plain(home / "quiet", True, NUM_GPUS="2"), hooked.plain(home / "loud", NUM_GPUS="3")
    tty = hooked.open(shell, cwd=quiet)
    assert (tty.greeting, tty.value("NUM_GPUS")) == ("", "2")
    assert tty.run(f"cd {loud}") == "taowatch: loud, 1 variables"
    silent = hooked.open(shell, cwd=loud, TAOWATCH_QUIET="1")
    assert (silent.greeting, silent.value("NUM_GPUS")) == ("", "3")
    (loud / PROJECT_FILE).write_text("#")
    assert ALLOWED_NO_MORE in silent.prompt(), "what needs the user is said all the same"


@each_shell
def test_the_mounts_file_of_its_own_is_exported(shell: str, hooked: Hooked, home: Path) -> None:
    own = str(hooked.paths.launcher_mounts(home / "p"))
    project = hooked.plain(home / "p", LAUNCHER_MOUNTS=own)
    tty = hooked.open(shell, cwd=project)
    assert tty.value("LAUNCHER_MOUNTS") == own
    tty.run("cd /")
    assert tty.value("LAUNCHER_MOUNTS") is None


@each_shell
def test_the_hook_works_after_the_runtime_directory_vanished(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    hooked.alert("job moved")
    tty = hooked.open(shell, cwd=home)
    assert tty.greeting == "taowatch: moved"
    shutil.rmtree(hooked.paths.runtime.parent)
    assert tty.run(f"cd {project}") == "taowatch: p, 1 variables"
    assert tty.value("NUM_GPUS") == "2"


@each_shell
def test_taowatch_is_upgraded_under_a_living_shell(shell: str, hooked: Hooked, home: Path) -> None:
    project = hooked.plain(home / "p", NUM_GPUS="2")
    tty = hooked.open(shell, cwd=project)
    generation = hooked.paths.snippets / "generation"
    (old,) = hooked.paths.snippets.glob("at.*")
    # A later version, with snippets that this hook could not read.
    for snippet in hooked.paths.snippets.rglob("=env.*"):
        snippet.write_text("__taowatch_of_another_version\n")
    old.unlink()
    generation.write_text("2 another\n")
    assert "was upgraded under this shell" in tty.prompt()
    assert tty.value("NUM_GPUS") is None
    assert tty.run("cd .") == ""
    generation.write_text("2 yet-another\n")
    assert tty.prompt() == "", "once"
    # And its hook, evaluated in the same shell, goes on.
    hooked.plain(project, NUM_GPUS="3")
    assert tty.run(hooked.line(shell)) == "taowatch: p, 1 variables"
    assert tty.value("NUM_GPUS") == "3"


@each_shell
def test_each_shell_s_own_check_passes(shell: str, environment: dict[str, str]) -> None:
    requires(shell)
    file = REPOSITORY / f"taowatch/shell/hook.{shell}"
    done = subprocess.run([shell, "-n", str(file)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_shell_without_a_hook_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(TaowatchError, match="no hook for tcsh"):
        hook(Paths.of(environment), "tcsh")
