"""Real notebooks and real kernels, started as Jupyter's server starts them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager


def write_notebook(path: Path, cells: Sequence[str]) -> Path:
    """A real notebook file (nbformat 4) with these code cells."""
    document = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [_cell(number, source) for number, source in enumerate(cells)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def _cell(number: int, source: str) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": lines,
    }


def cells_of(path: Path) -> list[str]:
    """The sources of a notebook's code cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


SETUP_CELL = """\
# Setting up env variables for cleaner command line commands.
import os

%env KEY=my_model_key
%env NUM_GPUS=1

# Folders in the container; there is no need to change them.
%env USER_EXPERIMENT_DIR=/workspace/tao-experiments/{name}
%env DATA_DOWNLOAD_DIR=/workspace/tao-experiments/data

# Folders on this machine.
os.environ["LOCAL_PROJECT_DIR"] = {directory!r}
os.environ["LOCAL_DATA_DIR"] = os.path.join(os.getenv("LOCAL_PROJECT_DIR", os.getcwd()), "data")
os.environ["LOCAL_EXPERIMENT_DIR"] = os.path.join(os.getenv("LOCAL_PROJECT_DIR", os.getcwd()), "{name}")
os.environ["LOCAL_SPECS_DIR"] = os.path.join(os.getenv("NOTEBOOK_ROOT", os.getcwd()), "specs")
%env SPECS_DIR=/workspace/tao-experiments/{name}/specs

!mkdir -p $LOCAL_DATA_DIR $LOCAL_EXPERIMENT_DIR $LOCAL_SPECS_DIR
"""

MAPPING_CELL = """\
# Mapping the local folders to the container.
import json
mounts_file = os.path.expanduser("~/.tao_mounts.json")

drive_map = {
    "Mounts": [
        {
            "source": os.environ["LOCAL_PROJECT_DIR"],
            "destination": "/workspace/tao-experiments"
        },
        {
            "source": os.environ["LOCAL_SPECS_DIR"],
            "destination": os.environ["SPECS_DIR"]
        }
    ],
    "DockerOptions": {
        "user": "{}:{}".format(os.getuid(), os.getgid())
    }
}

with open(mounts_file, "w") as mfile:
    json.dump(drive_map, mfile, indent=4)
"""


def mapping_cells(project_dir: Path, name: str | None = None) -> list[str]:
    """Setup and mapping cell of a notebook of the `local` layout that lies in this folder."""
    return [SETUP_CELL.format(name=name or project_dir.name, directory=str(project_dir)), MAPPING_CELL]


class NotebookKernel:
    """The kernel of one notebook: in the notebook's folder, told the notebook's path."""

    def __init__(self, notebook: Path, environment: dict[str, str]) -> None:
        self.notebook = notebook
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(notebook.parent), env={**environment, "JPY_SESSION_NAME": str(notebook)})
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    @property
    def pid(self) -> int:
        return int(self._manager.provisioner.pid)  # type: ignore[union-attr]

    def run(self, source: str, timeout: float = 30) -> str:
        """Execute a cell and return what it printed; an error in it is an error of the test."""
        printed: list[str] = []
        reply = self._client.execute_interactive(
            source, timeout=timeout, output_hook=lambda message: printed.append(_text(message))
        )
        if reply["content"]["status"] != "ok":
            raise RuntimeError("".join(reply["content"].get("traceback", [])) or str(reply["content"]))
        return "".join(printed)

    def run_cell(self, index: int) -> str:
        """Execute a code cell of the notebook as it stands in the file."""
        return self.run(cells_of(self.notebook)[index])

    def shutdown(self) -> None:
        """End the kernel; a second time is no error."""
        if self._manager.has_kernel:
            self._client.stop_channels()
            self._manager.shutdown_kernel(now=True)


def _text(message: dict[str, Any]) -> str:
    is_output = message["msg_type"] == "stream" and message["content"]["name"] == "stdout"
    return str(message["content"]["text"]) if is_output else ""
