"""The nouns of DESIGN.md as plain data: mounts file, job, owner, conflict, project."""

from __future__ import annotations

from dataclasses import dataclass, field

from taowatch.core.mapping import Mapping

OK, MISSING, INVALID = "ok", "missing", "invalid"


@dataclass(frozen=True)
class Owner:
    """The project, notebook and process behind a mapping or a job; what is not known is None."""

    project: str | None = None
    notebook: str | None = None
    pid: int | None = None
    certain: bool = False
    """False where it was inferred, which the texts then say ("probably")."""
    what: str | None = None
    """What wrote, where it is no notebook: `taowatch restore`, for example."""


NOBODY = Owner()


@dataclass(frozen=True)
class MountsFile:
    """One mounts file as it was last seen."""

    path: str
    state: str = MISSING
    mapping: Mapping = field(default_factory=Mapping)
    error: str | None = None
    digest: str | None = None
    written_at: float | None = None
    """Seconds since the epoch."""
    revision: int | None = None
    owner: Owner = NOBODY
    awaits: tuple[str, ...] = ()
    """Real sources whose absence makes the file invalid."""


@dataclass(frozen=True)
class Job:
    """A TAO task of this user that is alive, with the mapping that it holds."""

    id: str
    state: str
    """`starting` (a launcher without a container yet) or `running`."""
    command: str | None
    image: str | None
    pid: int | None
    """The launcher's process."""
    started_at: float
    mounts_file: str
    holds: tuple[tuple[str, str], ...]
    """(destination, real source), sorted: the mapping that it was started with."""
    owner: Owner = NOBODY
    cwd: str | None = None
    """The launcher's working directory, against which it resolves relative sources."""
    got: tuple[tuple[str, str], ...] | None = None
    """What its container has (or will have) instead, where that is known to be something else; else None."""
    options: tuple[tuple[str, str], ...] | None = None
    """The digests of Envs and DockerOptions that it was started with; None where nobody watched then."""
    misled: str | None = None
    """The mounts file of another project that it inherited through LAUNCHER_MOUNTS."""

    @property
    def key(self) -> str:
        """What stays the same when the engine is found or lost: the launcher's process, where there is one."""
        return self.id if self.pid is None else f"pid-{self.pid}"

    @property
    def title(self) -> str:
        return self.command or "a TAO container"


@dataclass(frozen=True)
class Conflict:
    """The mounts file no longer gives a live job what it holds."""

    kind: str
    severity: str
    job: str
    destination: str | None
    expected: str | None
    actual: str | None
    message: str
    since: float = 0.0
    key: str = ""
    """The job's key."""

    @property
    def identity(self) -> tuple[str, str, str | None, str | None, str | None]:
        """What makes it the same conflict when it is found again."""
        return (self.kind, self.key, self.destination, self.expected, self.actual)


@dataclass(frozen=True)
class Revision:
    """One content that a mounts file had, without the content itself."""

    number: int
    path: str
    digest: str
    written_at: float
    binds: tuple[tuple[str, str], ...] | None
    """(destination, real source), sorted; None where the launcher would not have accepted it."""
    owner: Owner = NOBODY


@dataclass(frozen=True)
class Project:
    """A directory that `.taowatch.toml` makes a project."""

    directory: str
    name: str
    notebook: str | None
    layout: str
    allowed: bool
    mounts_file: str | None = None
    """Its own mounts file, for LAUNCHER_MOUNTS; None where it uses the common one."""
