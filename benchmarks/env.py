"""`taowatch env` on a typical notebook, in bare Python starts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import median, milliseconds, table, verdict
from tests.support.kernels import mapping_cells, write_notebook

ROUNDS = 25
BUDGET = 10


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="taowatch-env-") as scratch:
        home = Path(scratch).resolve()
        project = home / "tao/yolo_v4"
        write_notebook(project / "yolo_v4.ipynb", mapping_cells(project))
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        taowatch = [str(Path(sys.executable).with_name("taowatch"))]
        subprocess.run([*taowatch, "init", str(project)], env=environment, check=True, stdout=subprocess.DEVNULL)
        python, ours = [], []
        for _ in range(ROUNDS):  # in turns, so that both see the same machine
            python.append(_seconds([sys.executable, "-c", "pass"], environment))
            ours.append(_seconds([*taowatch, "env", str(project)], environment))
    ratio = median(ours) / median(python)
    row = (
        milliseconds(median(python)),
        milliseconds(median(ours)),
        f"{ratio:.1f}",
        str(BUDGET),
        verdict(ratio, BUDGET),
    )
    print(table(("bare Python start", "taowatch env", "ratio", "budget", ""), [row]))


def _seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
