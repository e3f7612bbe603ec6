"""Who may have written: every form in which people run the code that writes a mounts file, as real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from taowatch.core.owner import Kernel, writer_of
from taowatch.sources.processes import Processes
from tests.support.kernels import NotebookKernel, mapping_cells, write_notebook
from tests.support.waiting import wait_until

LASTING = "import sys; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def project(home: Path) -> Path:
    directory = home / "tao/yolo_v4"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def process() -> Iterator[Callable[..., int]]:
    """`process(words, cwd=...)`: a real process that lasts until the end of the test; its pid."""
    started: list[subprocess.Popen[bytes]] = []

    def start(words: list[str], cwd: Path, executable: str | None = None) -> int:
        child = subprocess.Popen(
            words, executable=executable, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child.pid

    yield start
    for child in started:
        child.kill()
        child.communicate()


def found(home: Path, pid: int) -> Kernel | None:
    kernels, _ = Processes(home).kernels_and_launchers()
    return next((kernel for kernel in kernels if kernel.pid == pid), None)


NAMES = [
    ("absolute", "{directory}/yolo_v4.ipynb"),
    ("relative to the server", "tao/yolo_v4/yolo_v4.ipynb"),
    ("its name only", "yolo_v4.ipynb"),
]


@pytest.mark.parametrize(("form", "name"), NAMES, ids=[form for form, _ in NAMES])
def test_a_kernel_is_known_by_the_name_of_its_session(
    form: str, name: str, home: Path, project: Path, kernel: Callable[..., NotebookKernel]
) -> None:
    notebook = write_notebook(project / "yolo_v4.ipynb", mapping_cells(project))
    write_notebook(project / "another.ipynb", [])
    started = kernel(notebook)
    assert found(home, started.pid) is not None
    named = _kernel_with(started, home, name.format(directory=project))
    assert named.notebook == str(notebook)


@pytest.mark.parametrize("name", ["a0b1c2d3-aaaa-bbbb-cccc-000000000000", "", "renamed since.ipynb"])
def test_a_session_without_a_notebook_is_known_by_its_directory(name: str, home: Path, project: Path) -> None:
    # A UUID, nothing at all (VS Code), a notebook that was renamed: the only notebook in its directory is taken.
    notebook = write_notebook(project / "yolo_v4.ipynb", mapping_cells(project))
    child = _spawn_kernel(project, name)
    try:
        kernel = wait_until(lambda: found(home, child.pid), 20, "the kernel")
        assert kernel.notebook is None
        owner = writer_of([str(project)], [kernel], [str(notebook)])
        assert (owner.notebook, owner.certain) == (str(notebook), False)
    finally:
        child.kill()
        child.wait()


def test_a_script_is_named(home: Path, project: Path, process: Callable[..., int]) -> None:
    script = project / "prepare data.py"
    script.write_text(LASTING)
    pid = process([sys.executable, "-u", str(script)], cwd=project)
    writer = found(home, pid)
    assert writer is not None
    owner = writer_of([str(project)], [writer], [])
    assert (owner.what, owner.pid, owner.project) == ("prepare data.py", pid, str(project))


def test_an_editor_that_has_the_file_open_is_named(home: Path, project: Path, process: Callable[..., int]) -> None:
    pid = process(["vim", "-c", LASTING, str(home / ".tao_mounts.json")], cwd=home, executable=sys.executable)
    writer = found(home, pid)
    assert writer is not None
    owner = writer_of([str(project)], [writer], [])
    assert (owner.what, owner.pid) == ("vim", pid)
    # An editor may lie open for days: a kernel that fits the new mapping is likelier.
    assert writer_of([str(project)], [Kernel(1, 0.0, str(project), None), writer], []).pid == 1


def test_plain_ipython_is_named(home: Path, project: Path) -> None:
    ipython = shutil.which("ipython", path=str(Path(sys.executable).parent))
    assert ipython is not None
    environment = {**{n: v for n, v in os.environ.items() if n != "PYTEST_CURRENT_TEST"}, "TERM": "dumb"}
    child = pexpect.spawn(ipython, ["--simple-prompt", "--quick"], cwd=str(project), env=environment, timeout=60)  # type: ignore[arg-type]
    try:
        child.expect(r"In \[1\]")
        writer = found(home, child.pid)
        assert writer is not None
        assert writer_of([str(project)], [writer], []).what == "ipython"
    finally:
        child.close(force=True)


def test_a_script_in_the_home_is_not_blamed_for_all_below_it(
    home: Path, project: Path, process: Callable[..., int]
) -> None:
    script = home / "server.py"
    script.write_text(LASTING)
    writer = found(home, process([sys.executable, str(script)], cwd=home))
    assert writer is not None
    assert writer_of([str(project)], [writer], []).what is None


def _kernel_with(started: NotebookKernel, home: Path, name: str) -> Kernel:
    child = _spawn_kernel(started.notebook.parent, name)
    try:
        return wait_until(lambda: found(home, child.pid), 20, "the kernel")
    finally:
        child.kill()
        child.wait()


def _spawn_kernel(cwd: Path, name: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "JPY_SESSION_NAME": name} if name else dict(os.environ)
    return subprocess.Popen(
        [sys.executable, "-m", "ipykernel_launcher", "-f", str(cwd / "connection.json")],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
