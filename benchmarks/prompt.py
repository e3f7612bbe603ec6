"""The shell hook beside direnv's, in the same shells and the same run: idle prompt, entering, leaving; and its start.

The budget of the idle prompt is that of bash; the others are told beside what a no-op costs there. `cd` is part of
entering and leaving, as direnv works at `cd` in zsh. Each figure is the median of several rounds, in each of which both
tools take turns in shells of their own. A fork is what strace sees of clone, fork and vfork that makes no thread.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import median, milliseconds, table, verdict
from taowatch.commands.hook import hook
from taowatch.core.layout import variables
from taowatch.paths import PROJECT_FILE, Paths
from taowatch.sinks.shell_snippets import write_snippet

SIZES = (1, 100, 1000)
ROUNDS = 5
BUDGETS = {"idle": 1 / 100, "entering": 1 / 10, "leaving": 1 / 10, "entering and leaving": 1 / 10}
UNBOUND = {("zsh", "idle"), ("fish", "idle")}
PYTHON_STARTS = 2.5

COMMAND = {
    "bash": ["bash", "--norc", "-i", "-c"],
    "zsh": ["zsh", "-f", "-i", "-c"],
    "fish": ["fish", "--no-config", "-i", "-c"],
}
PROMPT = {
    ("bash", "taowatch"): '"${__taowatch_entry-:}" && :',
    ("zsh", "taowatch"): "__taowatch_hook",
    ("bash", "direnv"): "_direnv_hook",
    ("zsh", "direnv"): "_direnv_hook",
    ("fish", "taowatch"): "emit fish_prompt",
    ("fish", "direnv"): "emit fish_prompt",
    ("bash", "floor"): "floor",
    ("zsh", "floor"): "floor",
    ("fish", "floor"): "emit floor",
}
# (measurements, idle prompts in each, times in and out) of one round. Short measurements, of which the median is taken,
# as other programs of the machine come in between.
COUNTS = {"taowatch": (60, 20, 60), "direnv": (12, 1, 8), "floor": (60, 20, 60)}
FISH_COUNTS = {"taowatch": (12, 300, 60), "direnv": (2, 8, 8), "floor": (12, 300, 60)}

SCRIPT = """
{clock}
{load}
cd {project}; {prompt}; {prompt}
for ((j = 0; j < {measurements}; j++)); do
  start=$EPOCHREALTIME
  for ((i = 0; i < {idle}; i++)); do {prompt}; done
  stop=$EPOCHREALTIME
  echo idle $start $stop {idle}
done
cd {outside}; {prompt}
for ((i = 0; i < {times}; i++)); do
  start=$EPOCHREALTIME; cd {project}; {prompt}; stop=$EPOCHREALTIME; echo entering $start $stop 1
  start=$EPOCHREALTIME; cd {outside}; {prompt}; stop=$EPOCHREALTIME; echo leaving $start $stop 1
done
"""
# fish has no clock of its own; one `date` is within what is measured, so there are more prompts in it.
FISH = """
{load}
function floor --on-event floor; end
cd {project}; {prompt}; {prompt}
set numbers (seq {idle})
for j in (seq {measurements})
  set start (date +%s.%N); for i in $numbers; {prompt}; end; echo idle $start (date +%s.%N) {idle}
end
cd {outside}; {prompt}
set start (date +%s.%N); for i in (seq {times}); cd {project}; {prompt}; cd {outside}; {prompt}; end
echo "entering and leaving" $start (date +%s.%N) {times}
"""

Figures = dict[tuple[str, str, str], list[float]]
"""(shell, tool, what) -> seconds."""


class Bench:
    """A scratch home with projects, an equal .envrc in one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "DIRENV_LOG_FORMAT": "",
            "TAOWATCH_QUIET": "1",
        }
        (folder / "run").mkdir(mode=0o700)
        self.paths = Paths.of(self.environment)
        self.project = folder / "tao/project-0"
        self.made = 0

    def grow(self, size: int) -> None:
        """As many projects as that."""
        directories = [self.folder / f"tao/project-{number}" for number in range(self.made, size)]
        for directory in directories:
            directory.mkdir(parents=True)
            (directory / PROJECT_FILE).write_text('layout = "local"\n')
        for directory in directories:
            write_snippet(self.paths, directory, directory.name, variables("local", str(directory), directory.name))
        self.made = size

    def equal_envrc(self) -> None:
        known = variables("local", str(self.project), self.project.name)
        lines = [f"export {variable.name}={shlex.quote(variable.value)}" for variable in known]
        (self.project / ".envrc").write_text("\n".join(lines) + "\n")
        subprocess.run(["direnv", "allow", str(self.project)], env=self.environment, check=True)

    def script(self, shell: str, tool: str, measurements: int, idle: int, times: int) -> str:
        return (FISH if shell == "fish" else SCRIPT).format(
            clock="zmodload zsh/datetime; typeset -F i" if shell == "zsh" else "",
            load=self._load(shell, tool),
            prompt=PROMPT[shell, tool],
            project=self.project,
            outside=self.folder,
            measurements=measurements,
            idle=idle,
            times=times,
        )

    def _load(self, shell: str, tool: str) -> str:
        if tool == "floor":
            return "" if shell == "fish" else "floor() { :; }"
        if tool == "direnv":
            text = subprocess.run(
                ["direnv", "hook", shell], env=self.environment, capture_output=True, check=True
            ).stdout
        else:
            text = hook(self.paths, shell)
        file = self.folder / f"{tool}.{shell}"
        file.write_bytes(text)
        return f"source {file}"

    def run(self, shell: str, script: str, *before: str) -> str:
        done = subprocess.run(
            [*before, *COMMAND[shell], script],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
            start_new_session=True,
        )
        return done.stdout

    def forks(self, shell: str, tool: str) -> tuple[float, float]:
        """Forks at an idle prompt, and at one of entering or leaving."""
        none, idle, moving = (self._forks(shell, tool, *counts) for counts in ((0, 0), (10, 0), (0, 10)))
        return (idle - none) / 10, (moving - none) / 20

    def _forks(self, shell: str, tool: str, idle: int, times: int) -> int:
        trace = self.folder / "trace"
        strace = ("strace", "-f", "-e", "trace=clone,clone3,fork,vfork", "-o", str(trace))
        self.run(shell, self.script(shell, tool, 1, idle, times), *strace)
        calls = re.findall(r"^.*\b(?:clone3?|v?fork)\(.*$", trace.read_text(), re.MULTILINE)
        return len([call for call in calls if "CLONE_THREAD" not in call])


def _measure(bench: Bench, shells: list[str]) -> Figures:
    figures: Figures = defaultdict(list)
    for _ in range(ROUNDS):
        for shell in shells:
            for tool, counts in (FISH_COUNTS if shell == "fish" else COUNTS).items():
                printed = bench.run(shell, bench.script(shell, tool, *counts))
                for what, seconds in _parsed(printed):
                    figures[shell, tool, what].append(seconds)
    return figures


def _parsed(printed: str) -> Iterator[tuple[str, float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for line in printed.splitlines():
        *what, start, stop, number = line.split()
        found[" ".join(what)].append((float(stop) - float(start)) / int(number))
    return ((what, median(values)) for what, values in found.items())


def _rows(figures: Figures, size: int) -> Iterator[list[object]]:
    for shell, tool, what in figures:
        if tool != "taowatch":
            continue
        own, peer, floor = (median(figures[shell, name, what]) for name in ("taowatch", "direnv", "floor"))
        ratio = f"1/{peer / own:.0f}"
        told = "none" if (shell, what) in UNBOUND else verdict(own / peer, BUDGETS[what])
        yield [shell, what, size, _short(own), _short(peer), ratio, _short(floor), told]


def _short(seconds: float) -> str:
    return milliseconds(seconds)


def _fork_rows(bench: Bench, shells: list[str]) -> Iterator[list[object]]:
    for shell in shells:
        own, peer = bench.forks(shell, "taowatch"), bench.forks(shell, "direnv")
        yield [shell, f"{own[0]:g}", f"{own[1]:g}", f"{peer[0]:g}", f"{peer[1]:g}", verdict(max(own), 0)]


def _start_rows(bench: Bench, shells: list[str]) -> Iterator[list[object]]:
    program = str(Path(sys.executable).parent / "taowatch")
    commands = {"": [sys.executable, "-c", "pass"], **{shell: [program, "hook", shell] for shell in shells}}
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(25):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, env=bench.environment, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    bare = statistics.median(seconds.pop(""))
    for shell, values in seconds.items():
        ratio = median(values) / bare
        yield [f"`taowatch hook {shell}`", _short(median(values)), f"{ratio:.2f}", verdict(ratio, PYTHON_STARTS)]


def main() -> None:
    missing = [name for name in ("direnv", "strace") if not shutil.which(name)]
    if missing:
        print(f"Not measured: {' and '.join(missing)} not installed.")
        return
    shells = [shell for shell in COMMAND if shutil.which(shell)]
    with tempfile.TemporaryDirectory(prefix="prompt-") as folder:
        bench = Bench(Path(folder).resolve())
        rows: list[list[object]] = []
        for size in SIZES:
            bench.grow(size)
            bench.equal_envrc()
            rows += _rows(_measure(bench, shells), size)
        print(table(["shell", "prompt", "projects", "taowatch", "direnv", "ratio", "a no-op", "budget"], rows), "\n")
        title = ["shell", "forks, idle", "forks, moving", "direnv's, idle", "direnv's, moving", "budget"]
        print(table(title, _fork_rows(bench, shells)), "\n")
        print(table(["start of a shell", "time", "bare Python starts", "budget"], _start_rows(bench, shells)))
