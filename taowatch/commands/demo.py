"""`taowatch demo`: the article's story in a scratch home, with what the machine has; says what is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taowatch.errors import TaowatchError
from taowatch.paths import Paths
from taowatch.sinks.desktop import bus_address

_DEADLINE = 15.0

MAPPING_CELL = """\
import json, os
os.environ["LOCAL_PROJECT_DIR"] = os.getcwd()
os.environ["LOCAL_SPECS_DIR"] = os.path.join(os.getcwd(), "specs")
os.environ["SPECS_DIR"] = "/workspace/tao-experiments/{name}/specs"
drive_map = {{
    "Mounts": [
        {{"source": os.environ["LOCAL_PROJECT_DIR"], "destination": "/workspace/tao-experiments"}},
        {{"source": os.environ["LOCAL_SPECS_DIR"], "destination": os.environ["SPECS_DIR"]}},
    ],
    "DockerOptions": {{"user": "{{}}:{{}}".format(os.getuid(), os.getgid())}},
}}
with open(os.path.expanduser("~/.tao_mounts.json"), "w") as mounts_file:
    json.dump(drive_map, mounts_file, indent=4)
"""

LAUNCHER = """\
# Stands in for NVIDIA's launcher: with a TAO image at hand it starts the container that the launcher would start,
# without one it only waits, as a launcher does while its task runs.
import json, os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
mounts = json.load(open(os.path.expanduser("~/.tao_mounts.json")))["Mounts"]
image = os.environ.get("DEMO_IMAGE")
print("the mounts file is read", flush=True)
if not image:
    # What shows in the process list while a task runs, for want of an engine: docker exec -i <id> …
    sys.exit(subprocess.run(["docker", "exec", "-i", "0" * 64, "60"], executable=sys.executable).returncode)
binds = [word for m in mounts for word in ("-v", m["source"] + ":" + m["destination"])]
run = ["docker", "run", "-d", "--rm", "--entrypoint", "sleep", *binds, image, "60"]
container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
try:
    subprocess.run(["docker", "exec", "-i", container, "sleep", "60"])
finally:
    subprocess.run(["docker", "rm", "-f", container], capture_output=True)
"""


def demo(environ: Mapping[str, str]) -> Iterator[str]:
    """The story, a paragraph at a time. Raises TaowatchError where a step does not come about."""
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="taowatch-demo-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        yield from _Story(scratch, environ, stack).play()
    yield "Nothing is left of it: scratch home, daemon and training are gone."


class _Story:
    def __init__(self, scratch: Path, environ: Mapping[str, str], stack: ExitStack) -> None:
        self._stack = stack
        self._home = scratch / "home"
        runtime = scratch / "run"
        self._home.mkdir()
        runtime.mkdir(mode=0o700)
        self._environ = {**environ, "HOME": str(self._home), "XDG_RUNTIME_DIR": str(runtime)}
        for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "LAUNCHER_MOUNTS"):
            self._environ.pop(name, None)
        bus = bus_address(environ)
        if bus is not None:
            self._environ["DBUS_SESSION_BUS_ADDRESS"] = bus
        self._image = _tao_image()
        if self._image is not None:
            self._environ["DEMO_IMAGE"] = self._image
        self._paths = Paths.of(self._environ)

    def play(self) -> Iterator[str]:
        yield from self._set_up()
        first, second = self._project("detectnet_v2"), self._project("yolo_v4")
        self._run_cell(first)
        yield f"1. detectnet_v2.ipynb runs its mapping cell: {self._sources()}"
        training = self._train(first)
        yield f"2. It starts a training: {self._jobs()}"
        began = time.monotonic()
        self._run_cell(second)
        alert = self._until(lambda: self._status()["alerts"], "a warning")[0]
        yield f"3. yolo_v4.ipynb runs its mapping cell: {self._sources()}"
        yield f"   {(time.monotonic() - began) * 1000:.0f} ms later, {self._channel()}:\n"
        yield _indented(
            f"{alert['title']}\n{alert['body']}\n[Restore] [Keep]" if len(alert["actions"]) > 1 else alert["title"]
        )
        yield "\n4. The next prompt of a shell with the hook says:\n\n" + _indented(self._prompt())
        yield "\n5. taowatch status:\n\n" + _indented(self._taowatch("status"))
        yield "\n6. taowatch restore:\n\n" + _indented(self._taowatch("restore"))
        self._until(lambda: not self._status()["conflicts"], "the end of the conflict")
        yield "\n   The conflict is over, the notification closed. The prompt says: " + self._prompt_after()
        _end(training)
        self._until(lambda: not self._status()["jobs"], "the end of the job")
        yield "7. The training ends; nothing of the conflict remains.\n"

    def _set_up(self) -> Iterator[str]:
        log = open(self._paths.runtime.parent / "daemon.log", "wb")  # noqa: SIM115 (closed by the stack)
        self._stack.callback(log.close)
        daemon = self._start([sys.executable, "-m", "taowatch", "daemon"], self._home, stderr=log)
        self._until(lambda: self._status().get("daemon", {}).get("pid") == daemon.pid, "the daemon")
        self._until(lambda: self._status()["daemon"]["docker"] != "not asked yet", "the engine")
        yield f"A scratch home, {self._home}, and a daemon that watches it."
        if self._image is None:
            yield "Stand-in: no Docker engine with a TAO image answers, so the launcher is a process that only waits."
        else:
            yield f"Docker: a real container of {self._image}; stand-in: the launcher is a script that starts it."
        yield "Stand-in: the notebooks' cells are run by Python, without Jupyter.\n"

    def _project(self, name: str) -> Path:
        directory = self._home / "tao" / name
        (directory / "specs").mkdir(parents=True)
        cell: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        source = MAPPING_CELL.format(name=name)
        document = {"cells": [{**cell, "source": source}], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
        (directory / f"{name}.ipynb").write_text(json.dumps(document))
        return directory

    def _run_cell(self, project: Path) -> None:
        before = self._status()["mounts_file"]["revision"]
        cell = json.loads((project / f"{project.name}.ipynb").read_text())["cells"][0]["source"]
        subprocess.run([sys.executable, "-c", cell], cwd=project, env=self._environ, check=True)
        self._until(lambda: self._status()["mounts_file"]["revision"] not in (None, before), "the new revision")

    def _train(self, project: Path) -> subprocess.Popen[bytes]:
        tao = self._home / "bin" / "tao"
        tao.parent.mkdir()
        tao.write_text(LAUNCHER)
        (project / "exec").write_text("import time\ntime.sleep(60)\n")
        training = self._start([sys.executable, str(tao), "detectnet_v2", "train"], project, stdout=subprocess.PIPE)
        assert training.stdout is not None
        training.stdout.readline()  # it has what it will hold
        if self._image is not None:
            self._until(lambda: any(job["pid"] for job in self._status()["jobs"]), "the job")
        return training

    def _jobs(self) -> str:
        jobs = self._status()["jobs"]
        text = "; ".join(f"{job['command']} is {job['state']} as {job['id']}" for job in jobs)
        return text or "a process, which holds this mapping from now on"

    def _sources(self) -> str:
        mount = self._status()["mounts_file"]["mounts"][0]
        return f"{mount['destination']} -> {mount['source']}"

    def _channel(self) -> str:
        state = self._status()["daemon"]["notifications"]
        return (
            "a notification on your desktop"
            if state == "desktop"
            else f"the notification, as text ({state.partition(' (')[0]})"
        )

    def _prompt(self) -> str:
        script = 'eval "$("$1" -m taowatch hook bash)"; __taowatch_hook'
        return self._bash(script)

    def _prompt_after(self) -> str:
        script = 'eval "$("$1" -m taowatch hook bash)"; __taowatch[alerts]=" 1"; __taowatch_hook'
        return self._bash(script)

    def _bash(self, script: str) -> str:
        if shutil.which("bash") is None:
            return "(there is no bash here)"
        command = ["bash", "--norc", "-c", script, "bash", sys.executable]
        done = subprocess.run(command, cwd=self._home, env=self._environ, capture_output=True, text=True)
        return done.stderr.strip()

    def _taowatch(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "taowatch", *arguments]
        done = subprocess.run(command, cwd=self._home, env=self._environ, capture_output=True, text=True)
        return (done.stdout + done.stderr).rstrip()

    def _status(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self._paths.status.read_bytes())
        except (OSError, ValueError):
            return {}
        return document

    def _start(
        self, command: list[str], cwd: Path, stdout: int = subprocess.DEVNULL, stderr: Any = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self._stack.callback(_end, process)
        return process

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _DEADLINE
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TaowatchError(f"the demo waited {_DEADLINE:.0f} s for {what} in vain")
            time.sleep(0.01)
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, and what it started in its session."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tao_image() -> str | None:
    """A TAO image that the engine already has; none is pulled."""
    from taowatch.core.jobs import is_tao_image
    from taowatch.sources.docker import connect

    if shutil.which("docker") is None:
        return None
    try:
        images = connect(os.environ).api.images()
    except Exception:  # no engine, no permission, no answer: the demo goes on without
        return None
    tags = [tag for image in images for tag in image.get("RepoTags") or [] if is_tao_image(tag)]
    return tags[0] if tags else None


def _indented(text: str) -> str:
    return "\n".join(f"   | {line}".rstrip() for line in text.splitlines())
