"""The README's commands are run, and what it promises of packaging holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from taowatch.core.config import Config, parse_config
from taowatch.core.settings import parse_project
from tests.support.engine import Engine

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_make_knows_the_two_commands_at_the_top(environment: dict[str, str]) -> None:
    first = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert first is not None
    commands = [line.split("#")[0].strip() for line in first[1].splitlines()]
    assert commands == ["make demo", "make test"]
    for command in commands:
        done = run(f"{command} --dry-run", environment)
        assert done.returncode == 0, done.stderr


def test_every_command_it_names_exists(environment: dict[str, str]) -> None:
    named = sorted(set(re.findall(r"`taowatch (\w+)", README)))
    assert {"status", "restore", "demo", "init", "env"} <= set(named)
    for name in named:
        done = run(f"{sys.executable} -m taowatch {name} --help", environment)
        assert done.returncode == 0, (name, done.stderr)
        assert "Example: " in done.stdout, name


def test_the_line_for_bashrc_works(environment: dict[str, str]) -> None:
    line = 'eval "$(taowatch hook bash)"'
    assert line in README
    done = run(f"set -euo pipefail; {line}; declare -F __taowatch_hook", environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "__taowatch_hook\n", "")


def test_the_configuration_that_it_shows_is_accepted() -> None:
    project, config = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert parse_config(config) == Config("warn", ("notify-by-mail", "me@example.org"))
    assert parse_project(project).isolate


def test_the_demo_tells_the_story_without_docker(environment: dict[str, str], tmp_path: Path) -> None:
    _demo({**environment, "DOCKER_HOST": "unix:///nonexistent"}, tmp_path, "so the launcher is a process")


def test_the_demo_tells_the_story_with_docker(
    docker_engine: Engine, environment: dict[str, str], tmp_path: Path
) -> None:
    before = docker_engine.running()
    _demo(environment, tmp_path, "Docker: a real container")
    assert docker_engine.running() - before == set()


def _demo(environment: dict[str, str], tmp_path: Path, standing_in: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = run("taowatch demo", {**environment, "TMPDIR": str(scratch)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert standing_in in done.stdout
    for word in (
        "tand-in",
        "now leads to ~/tao/yolo_v4",
        "taowatch restore 1",
        "the conflict is over",
        "The training ends",
    ):
        assert word in done.stdout, done.stdout
    assert done.stderr == ""
    assert list(scratch.iterdir()) == []
    found = subprocess.run(["pgrep", "-f", str(scratch)], capture_output=True, text=True)
    assert found.stdout == "", "a process of the demo is left"


def test_the_service_starts_what_exists() -> None:
    unit = (ROOT / "systemd/taowatch.service").read_text()
    assert re.search(r"^ExecStart=.*/taowatch daemon$", unit, re.MULTILINE)
    assert "Type=notify" in unit


@pytest.mark.timeout(300)
def test_it_installs_beside_the_launcher(environment: dict[str, str], tmp_path: Path) -> None:
    """`pip install nvidia-tao==6.26.3 taowatch` resolves, and `pip check` is clean."""
    pip = tmp_path / "both/bin/pip"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "both"], check=True)
    done = run(f"{pip} install -q nvidia-tao==6.26.3 {ROOT}", environment)
    assert done.returncode == 0, done.stderr
    checked = run(f"{pip} check", environment)
    assert checked.returncode == 0, checked.stdout
    works = run(f"{tmp_path}/both/bin/taowatch status --json", environment)
    assert works.returncode == 0, works.stderr
