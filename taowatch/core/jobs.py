"""From containers and processes to jobs: which of them are this user's, and what they hold."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taowatch.core.model import NOBODY, Job, Owner, Revision

_IMAGE = re.compile(r"(^|/)(tao-toolkit|tlt-)[^/]*$")
"""nvcr.io/nvidia/tao/tao-toolkit:…, …/tao-toolkit-tf:…, nvcr.io/nvidia/tlt-streamanalytics:… with any registry."""

STARTING, RUNNING = "starting", "running"

Binds = tuple[tuple[str, str], ...]
"""(destination, real source), sorted."""

_GROUPS = ("model", "dataset", "deploy")
_NO_JOB = ("list", "stop", "info", "-h", "--help")


@dataclass(frozen=True)
class Container:
    """What the engine says of a container."""

    id: str
    image: str
    created_at: float
    binds: Binds
    gpus: bool = False
    """Whether it asked for GPUs; the launcher asks for all of them."""


@dataclass(frozen=True)
class Launcher:
    """A process of this user that runs the `tao` command."""

    pid: int
    started_at: float
    arguments: tuple[str, ...]
    """Those behind `tao`."""
    cwd: str | None
    mounts_file: str | None
    """Its LAUNCHER_MOUNTS, where it has one."""
    container: str | None = None
    """Full id of the container in which it runs its task."""
    owner: Owner = NOBODY
    deliberate: bool = False
    """Whether `taowatch run` chose its mounts file."""


def is_tao_image(image: str) -> bool:
    """Whether the launcher of any version would start this image (launcher-facts: real image names)."""
    return bool(_IMAGE.search(image.split("@")[0]))


def launcher_arguments(argv: Sequence[str]) -> tuple[str, ...] | None:
    """The arguments behind `tao` where `argv` is a launcher that runs a task, else None.

    The console script shows as `python …/bin/tao model dino train`, or as `tao …` where it is a binary of its own.
    """
    for index, word in enumerate(argv[:3]):
        if word.rsplit("/", 1)[-1] in ("tao", "tlt"):
            arguments = tuple(argv[index + 1 :])
            return arguments if arguments and arguments[0] not in _NO_JOB else None
        if index == 0 and not word.rsplit("/", 1)[-1].startswith("python"):
            return None
    return None


def execed_container(argv: Sequence[str]) -> str | None:
    """The container id in `docker exec -it <full id> …`, the child in which a launcher runs its task."""
    if len(argv) < 3 or argv[0].rsplit("/", 1)[-1] != "docker" or argv[1] != "exec":
        return None
    return next((word for word in argv[2:] if re.fullmatch(r"[0-9a-f]{64}", word)), None)


def command_of(arguments: Sequence[str]) -> str:
    """`model dino train -e x.yaml` -> `dino train`: the task and the subtask."""
    words = list(arguments[1:] if arguments and arguments[0] in _GROUPS else arguments)
    return " ".join(words[:2] if len(words) > 1 and not words[1].startswith("-") else words[:1])


def extra_destinations(arguments: Sequence[str]) -> frozenset[str]:
    """Destinations that the user added with `--volume src:dst`, beside the mounts file."""
    pairs = itertools.pairwise(arguments)
    return frozenset(value.split(":")[1] for flag, value in pairs if flag == "--volume" and ":" in value)


def is_old(launcher: Launcher) -> bool:
    """Whether it is a launcher of 4.x or before, which knew no groups of tasks and falls back to the older file."""
    return launcher.arguments[0] not in _GROUPS


@dataclass(frozen=True)
class Start:
    """What a launcher was started with."""

    mounts_file: str
    """The one that it reads, or, where it was misled, should read."""
    binds: Binds | None
    """None where nobody watched then, or it gave nothing valid."""
    options: tuple[tuple[str, str], ...] | None = None
    misled: str | None = None
    got: Binds | None = None
    """What the file gives that misled it."""
    vague: frozenset[str] = frozenset()
    """Destinations of relative sources, which only the launcher can resolve."""


def _is_in(home: str, path: str) -> bool:
    return bool(home) and path.startswith(home.rstrip("/") + "/")


def _expected(start: Start, arguments: Sequence[str]) -> set[tuple[str, str]]:
    """What the container should have: the launcher drops the file's mount of a source that `--volume` names too."""
    pairs = itertools.pairwise(arguments)
    volumes = {posixpath.normpath(value.split(":")[0]) for flag, value in pairs if flag == "--volume" and ":" in value}
    return {(d, source) for d, source in start.binds or () if source not in volumes and d not in start.vague}


def running_job(container: Container, launcher: Launcher, start: Start) -> Job:
    """The job that a launcher of this user runs in a container, with what its binds make of it."""
    extras = extra_destinations(launcher.arguments)
    binds = tuple(bind for bind in container.binds if bind[0] not in extras)
    hijacked = start.misled is not None or not _expected(start, launcher.arguments) <= set(container.binds)
    return Job(
        id=container.id[:12],
        state=RUNNING,
        command=command_of(launcher.arguments),
        image=container.image,
        pid=launcher.pid,
        started_at=container.created_at,
        mounts_file=start.mounts_file,
        holds=(start.binds or ()) if hijacked else binds,
        owner=launcher.owner,
        cwd=launcher.cwd,
        got=binds if hijacked else None,
        options=start.options,
        misled=start.misled,
    )


def starting_job(launcher: Launcher, start: Start) -> Job:
    """The job of a launcher whose container is not there yet, or cannot be seen."""
    return Job(
        id=f"pid-{launcher.pid}",
        state=RUNNING if launcher.container else STARTING,
        command=command_of(launcher.arguments),
        image=None,
        pid=launcher.pid,
        started_at=launcher.started_at,
        mounts_file=start.mounts_file,
        holds=start.binds or (),
        owner=launcher.owner,
        cwd=launcher.cwd,
        got=start.got,
        options=start.options,
        misled=start.misled,
    )


def known_by_its_binds(container: Container, revisions: Iterable[Revision], home: str) -> Job | None:
    """The job of a container whose launcher is not seen: this user's where its binds are those of a revision.

    Other people's containers and those started by hand have others, and are no jobs. A folder that people share says
    nothing of whose a container is.
    """
    have = set(container.binds)
    fitting = [r for r in revisions if r.binds and set(r.binds) <= have]
    own = [r for r in fitting if have == set(r.binds or ()) or any(_is_in(home, s) for _, s in r.binds or ())]
    match = max(own, key=lambda r: (len(r.binds or ()), r.number), default=None)
    if match is None:
        return None
    return Job(
        id=container.id[:12],
        state=RUNNING,
        command=None,
        image=container.image,
        pid=None,
        started_at=container.created_at,
        mounts_file=match.path,
        holds=match.binds or (),
        owner=Owner(match.owner.project, match.owner.notebook),
    )
