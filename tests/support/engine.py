"""A real Docker engine with stand-in images: real containers, real mounts, nothing of NVIDIA's."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from tests.support.components import DOCKER_SOCKET, answers
from tests.support.waiting import TooLate, wait_until

# What launcher 6.26.3 wants for `model dino`, and for `model yolo_v4` and `model detectnet_v2`.
IMAGE = "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt"
OLDER_IMAGE = "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5"
FOREIGN_IMAGE = "example/not-tao:1"
IMAGES = (IMAGE, OLDER_IMAGE, FOREIGN_IMAGE)
LABEL = "taowatch.stand-in"

# A training ends by itself once this file exists, and at once when it is asked to.
FINISH = "finish"
TASK = f"""#!/bin/sh
trap 'exit 130' INT
trap 'exit 143' TERM HUP
echo "stand-in: ${{0##*/}} $*"
until [ -e /workspace/tao-experiments/{FINISH} ]; do sleep 0.1; done
echo "stand-in: finished"
"""
HOLD = """#!/bin/sh
trap 'exit 0' TERM INT HUP
sleep 1000000 &
wait
"""
TASKS = ("dino", "detectnet_v2", "yolo_v4")
APPLETS = ("sh", "bash", "sleep", "ls", "cat", "top", "ps", "env", "echo", "mkdir", "touch", "pwd")
USERS = Path(tempfile.gettempdir()) / f"taowatch-tests-{os.getuid()}.users"
CHANGING = USERS.with_suffix(".changing")


class Engine:
    """An engine that answers on a socket, driven by the docker program as a user would."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    @property
    def host(self) -> str:
        """The value for DOCKER_HOST."""
        return f"unix://{self.socket}"

    def docker(self, *arguments: str, stdin: bytes | None = None) -> str:
        """What `docker <arguments>` prints; an error is an error of the test."""
        done = subprocess.run(
            ["docker", "-H", self.host, *arguments],
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker("inspect", container))[0]
        return found

    def binds(self, container: str) -> dict[str, str]:
        """Destination -> source of the container's bind mounts, as the engine has them."""
        mounts = self.inspect(container)["Mounts"]
        return {mount["Destination"]: mount["Source"] for mount in mounts if mount["Type"] == "bind"}

    def running(self) -> set[str]:
        """Full ids of the containers that run."""
        return set(self.docker("ps", "-q", "--no-trunc").split())

    def run(
        self,
        image: str = IMAGE,
        binds: Mapping[Path | str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> str:
        """Start a container by hand; without a command it stays until it is removed."""
        volumes = [word for source, target in (binds or {}).items() for word in ("-v", f"{source}:{target}")]
        settings = [word for pair in (variables or {}).items() for word in ("-e", "=".join(pair))]
        words = ("--pull=never", *volumes, *settings, *options, image, *command)
        container = self.docker("create", *words)
        try:
            self.docker("start", container)
        except RuntimeError:
            self.remove_container(container)
            raise
        return container

    def remove_container(self, container: str) -> None:
        """Remove it and wait until it is gone; one that is gone already is no error."""
        with suppress(RuntimeError):
            self.docker("rm", "-f", container)
        wait_until(lambda: not self.exists(container), 15, f"the end of container {container[:12]}")

    def exists(self, container: str) -> bool:
        return bool(self.docker("ps", "-aq", "--no-trunc", "--filter", f"id={container}"))

    def import_images(self) -> None:
        """Make the stand-ins if they are absent, and never in the place of a real image."""
        present = {image: self._label(image) for image in IMAGES if self._present(image)}
        real = [image for image, label in present.items() if not label]
        if real:
            raise RuntimeError(f"{real} is the real image; the tests will not run containers of it")
        if len(present) == len(IMAGES):
            return
        changes = ['CMD ["/usr/local/bin/hold"]', "ENV PATH=/usr/local/bin:/bin", f"LABEL {LABEL}=1"]
        words = [word for change in changes for word in ("-c", change)]
        archive = root_archive()
        for image in set(IMAGES) - set(present):
            self.docker("import", *words, "-", image, stdin=archive)

    def remove_images(self) -> None:
        """Nobody should find a stand-in where an image of NVIDIA's is expected."""
        for image in IMAGES:
            if self._present(image) and self._label(image):
                with suppress(RuntimeError):
                    self.docker("rmi", image)

    def _present(self, image: str) -> bool:
        return bool(self.docker("images", "-q", image))

    def _label(self, image: str) -> str:
        return self.docker("image", "inspect", "-f", f'{{{{ index .Config.Labels "{LABEL}" }}}}', image)


class PrivateEngine(Engine):
    """An engine that we started ourselves, with its data in a folder of its own."""

    def __init__(
        self, socket: Path | None = None, options: Sequence[str] = ("--bridge=none", "--iptables=false")
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tw-dk-"))
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self._crashed = False
        super().__init__(socket or self.directory / "docker.sock")

    def start(self) -> None:
        """Start dockerd and wait for its answer."""
        log = open(self.directory / "log", "ab")  # noqa: SIM115 - inherited by the engine
        with log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, env=self._environment(), start_new_session=True
            )
        wait_until(self._ready, 60, lambda: f"dockerd: {self.log[-2000:]}", pause=0.1)
        self.import_images()

    def _command(self) -> list[str]:
        """In a network of its own: starting and stopping an engine changes bridges and firewall rules."""
        folders = {"--data-root": "data", "--exec-root": "exec", "-p": "pid"}
        words = [word for flag, name in folders.items() for word in (flag, str(self.directory / name))]
        return ["unshare", "--net", "dockerd", *words, "-H", self.host, *self.options]

    def _environment(self) -> dict[str, str]:
        """The engine grants GPUs to the launcher if it finds this hook; nothing here ever calls it."""
        hook = self.directory / "bin/nvidia-container-runtime-hook"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 0\n")
        hook.chmod(0o755)
        return {"PATH": f"{hook.parent}:{os.environ['PATH']}", "HOME": str(self.directory)}

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"dockerd ended: {self.log[-2000:]}")
        with suppress(RuntimeError):
            return bool(self.docker("version", "-f", "{{.Server.Version}}"))
        return False

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the engine, as a shutdown would or (SIGKILL) as a crash would."""
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(60)
        self.process = None
        self._crashed = how is signal.SIGKILL
        self._end_containerd()

    def _end_containerd(self) -> None:
        """A crash of dockerd may leave its helper behind, and its pid file even where nobody waited for it."""
        pid_file = self.directory / "exec/containerd/containerd.pid"
        with suppress(OSError, ValueError):
            helper = int(pid_file.read_text())
            if self._is_ours(helper):
                os.kill(helper, signal.SIGTERM)
                wait_until(lambda: not self._is_ours(helper), 20, "the end of containerd")
        pid_file.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        with suppress(OSError):
            return str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        """End its containers, itself and its data; after a crash only a new engine can end the containers."""
        if self._crashed and self.process is None:
            self.start()
        if self.process:
            if everything := self.docker("ps", "-aq").split():
                self.docker("rm", "-f", *everything)
            self.stop()
        self._unmount()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _unmount(self) -> None:
        places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((place for place in places if place.startswith(f"{self.directory}/")), reverse=True):
            subprocess.run(["umount", "-l", place], check=False)


@contextmanager
def shared_engine() -> Iterator[Engine]:
    """The engine on the default socket, where the launcher looks: the one that answers, or one of ours.

    Two runs of the tests may share it, so the first to come prepares it and the last to go clears up.
    """
    with USERS.open("w") as users:
        with _changing():
            engine = Engine(DOCKER_SOCKET)
            if not answers(DOCKER_SOCKET):
                engine = PrivateEngine(DOCKER_SOCKET, options=())
                engine.start()
            engine.import_images()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield engine
        finally:
            with _changing():
                _leave(engine, users)


@contextmanager
def _changing() -> Iterator[None]:
    """Only one run of the tests at a time comes or goes."""
    with CHANGING.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _leave(engine: Engine, users: IO[str]) -> None:
    """The images go with their last user; our own engine waits for the others a while before it goes."""
    if isinstance(engine, PrivateEngine):
        with suppress(TooLate):
            wait_until(lambda: _alone(users), 120, "the other users of the engine", pause=0.2)
        engine.remove()
    elif _alone(users):
        engine.remove_images()


def _alone(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # A refused change of a lock loses the one held before.
        fcntl.flock(users, fcntl.LOCK_SH)
        return False
    return True


def root_archive() -> bytes:
    """The stand-in's file system: busybox and the scripts that play the tasks."""
    busybox = shutil.which("busybox")
    assert busybox
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "bin/busybox", Path(busybox).read_bytes())
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        _add(archive, "usr/local/bin/hold", HOLD.encode())
        for task in TASKS:
            _add(archive, f"usr/local/bin/{task}", TASK.encode())
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, BytesIO(content))
