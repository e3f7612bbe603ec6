"""What will fail later in a project: values in, findings out. Each rule is one small function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from taowatch.core.layout import HOST
from taowatch.core.mapping import Mapping as MountsMapping
from taowatch.core.owner import is_below
from taowatch.core.quoting import bash
from taowatch.core.resolved import RULE, Problem, Resolved, ShellCommand
from taowatch.core.settings import TAO_NAMES
from taowatch.core.translate import to_container, to_host
from taowatch.core.values import is_placeholder

OK, MISSING, UNWRITABLE = "ok", "missing", "unwritable"

_CONTAINER_ROOTS = ("/workspace", "/data", "/specs", "/results", "/model")
"""Where the notebooks' containers have their folders (launcher-facts); other absolute paths are the image's own."""

_CONTAINER_NAMES = {
    "LOCAL_DATA_DIR": "$DATA_DOWNLOAD_DIR",
    "LOCAL_EXPERIMENT_DIR": "$USER_EXPERIMENT_DIR",
    "LOCAL_SPECS_DIR": "$SPECS_DIR",
    "LOCAL_PROJECT_DIR": "/workspace/tao-experiments",
    "HOST_DATA_DIR": "$DATA_DIR",
    "HOST_SPECS_DIR": "$SPECS_DIR",
    "HOST_RESULTS_DIR": "$RESULTS_DIR",
    "HOST_MODEL_DIR": "$MODEL_DIR",
}
"""What a host variable is called inside the container."""

_PATH = re.compile(r"""(?<![\w.:/$}~-])/[^\s"'`,;:#\[\]{}()<>|&]+""")
_VARIABLE = re.compile(r"\$\{?((?:LOCAL|HOST)_[A-Z_]+)\}?")
_TAO = re.compile(r"(?<!\S)(?:[\w./-]*/)?(?:tao|tlt)\s+(?:(?:model|dataset|deploy)\s+)?(?P<task>[a-z][\w-]*)")
_NO_CONTAINER = ("list", "stop", "info")
_END = re.compile(r"[|;<>]|&&|(?<!\S)&(?!\S)|(?<=\s)#")
_HOST_OPTION = re.compile(r"--(?:volume|env_file|mounts_file)(?:\s+|=)\S+")
_MADE_LATER = re.compile(r"result|output|out_|log|checkpoint|tmp|export|engine|save|cache|pruned|dump", re.IGNORECASE)
"""Keys and options of what a training makes by itself."""


@dataclass(frozen=True)
class Finding:
    """Something that will fail: where, why, and what to do about it."""

    file: str
    line: int | None
    reason: str
    remedy: str
    cell: int | None = None
    """For a notebook: the cell in which the line is."""


@dataclass(frozen=True)
class SpecFile:
    """A spec file of the project."""

    path: str
    text: str


@dataclass(frozen=True)
class Surroundings:
    """What the machine says about a project; the rules ask nothing else."""

    folders: Mapping[str, str]
    """Host folder -> `ok`, `missing` or `unwritable`."""
    exists: Callable[[str], bool]
    """Whether a host path, which may be a glob, leads to something."""
    specs: tuple[SpecFile, ...] = ()
    mapping: MountsMapping | None = None
    """The project's mapping as the launcher reads it; None where it refuses it."""
    refused: str | None = None
    in_force: MountsMapping | None = None
    """What the mounts file says now; None where there is none that is valid."""
    mounts_file: str = ""
    mounts_error: str | None = None
    """Why the launcher would refuse the mounts file as it stands."""
    gpus: int | None = None
    """None where the machine does not say."""
    environ: Mapping[str, str] | None = None
    own_file: str = ""


def findings(project: Resolved, around: Surroundings) -> tuple[Finding, ...]:
    """Everything that would fail later, in the order in which a beginner meets it."""
    return tuple(finding for rule in _RULES for finding in rule(project, around))


def _notebook_problems(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    for problem in project.problems:
        file = project.notebook.path if project.notebook else project.directory
        line, cell = (problem.place.line, problem.place.cell) if problem.place else (None, None)
        yield Finding(file, line, problem.text, _remedy(problem), cell)


def _remedy(problem: Problem) -> str:
    if problem.placeholder:
        return "write the value into the cell, or under [variables] in .taowatch.toml"
    return "mend the cell, or write the value under [variables] in .taowatch.toml"


def _folders(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    by_notebook = project.notebook is not None and project.notebook.mapping is not None
    for variable in project.variables:
        if variable.side != HOST or (by_notebook and variable.origin == RULE):
            continue  # what its notebook does not name, it does not need: HOST_MODEL_DIR in many of them
        state = around.folders.get(variable.value, OK)
        file = _file_of(project)
        if state == MISSING and _is_container_path(variable.value):
            yield Finding(
                file,
                None,
                f"{variable.name} is {variable.value}, a path in the container; it must be a folder of this machine",
                f"give {variable.name} the folder's path on this machine",
            )
        elif state == MISSING:
            yield Finding(
                file,
                None,
                f"{variable.name}: the folder {variable.value} is missing",
                f"mkdir -p {bash(variable.value)}",
            )
        elif state == UNWRITABLE:
            yield Finding(
                file,
                None,
                f"{variable.name}: you cannot write to {variable.value}, so no training can",
                f'sudo chown -R "$USER" {bash(variable.value)}',
            )


def _mapping(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    file = _file_of(project)
    if around.mapping is None:
        yield Finding(
            file,
            None,
            f"the launcher would refuse the mapping: {around.refused}",
            "mend the mapping cell of the notebook, or make the folder",
        )
        return
    for mount in around.mapping.dropped():
        yield Finding(
            file,
            None,
            f"{mount.source} is mapped twice: the launcher drops {mount.destination} without a word",
            "give each destination a source of its own",
        )
    for mount in around.mapping.mounts:
        if mount.destination.rstrip("/") != mount.real_destination:
            yield Finding(
                file,
                None,
                f"{mount.destination} becomes {mount.real_destination}: the launcher follows links of "
                "this machine in container paths",
                "choose a destination that is no link here",
            )


def _user(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    if project.notebook is not None and project.notebook.mapping is not None and "user" not in project.docker_options:
        yield Finding(
            _file_of(project),
            None,
            "the mapping has no DockerOptions user: results will belong to root",
            'add "DockerOptions": {"user": "{}:{}".format(os.getuid(), os.getgid())} to the mapping cell',
        )


def _gpus(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    wanted = project.values.get("NUM_GPUS", "1")
    # Not isdigit() alone: "²" is a digit too, and int() takes no more than 4,300 of them.
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", wanted):
        yield Finding(_file_of(project), None, f"NUM_GPUS is {wanted!r}, not a number of GPUs", "NUM_GPUS=1, or more")
    elif around.gpus is not None and int(wanted) > around.gpus:
        yield Finding(
            _file_of(project),
            None,
            f"NUM_GPUS is {wanted}, this machine has {around.gpus}",
            f"NUM_GPUS={max(around.gpus, 1)}",
        )


def _spec_paths(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    for spec in around.specs:
        for number, line in enumerate(spec.text.splitlines(), start=1):
            text = line.split("#", 1)[0] if not line.lstrip().startswith(("/", '"/')) else line
            for found, before in _paths_in(text, project):
                reason = _wrong_path(project, around, found, before)
                if reason:
                    yield Finding(spec.path, number, *reason)


def _tao_commands(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    if project.notebook is None:
        return
    for command in project.notebook.shell:
        found = _TAO.search(command.text)
        if found and found["task"] not in _NO_CONTAINER and not command.text.startswith(("echo ", "pip ", "which ")):
            # What follows a pipe or a redirection is this machine's again, and so are some options of the launcher.
            inside = _HOST_OPTION.sub(" ", _END.split(command.text[found.start() :])[0])
            yield from _tao_command(project, around, replace(command, text=inside))


def _tao_command(project: Resolved, around: Surroundings, command: ShellCommand) -> Iterator[Finding]:
    assert project.notebook is not None
    file, place = project.notebook.path, command.place
    for found in _VARIABLE.finditer(command.text):
        inside = _CONTAINER_NAMES.get(found[1], "the container's name of it")
        yield Finding(
            file,
            place.line,
            f"${found[1]} is a folder of this machine; the command runs in the container",
            f"use {inside}",
            place.cell,
        )
    for path, _ in _paths_in(command.text, project):
        inside_path = _host_path(project, path)
        if inside_path is not None:
            yield Finding(
                file,
                place.line,
                f"{path} is a path of this machine; the command runs in the container",
                f"use {inside_path}",
                place.cell,
            )


def _paths_in(text: str, project: Resolved) -> Iterator[tuple[str, str]]:
    """(path, what stands before it) of the absolute paths in a line, also of those with spaces that we know or that are
    quoted."""
    known = sorted({source.rstrip("/") for source, _ in project.mounts if source.rstrip("/")}, key=len, reverse=True)
    sources = "|".join(map(re.escape, known)) or "(?!)"
    whole = re.compile(
        rf"""(?P<known>(?:{sources})(?:/[^\s"'`,;]*)?)|(?P<q>["'])(?P<quoted>/[^"']*)(?P=q)|{_PATH.pattern}"""
    )
    for found in whole.finditer(text):
        path = found["known"] or found["quoted"] or found[0]
        yield path.rstrip("/.") or "/", text[: found.start()]


def _wrong_path(project: Resolved, around: Surroundings, path: str, before: str) -> tuple[str, str] | None:
    """Why a path in a spec file will not be found, and what to do; None where nothing speaks against it."""
    if is_placeholder(path):
        return f"{path} is a placeholder", "write the container's path there"
    inside = _host_path(project, path)
    if inside is not None:
        return f"{path} is a path of this machine; a spec file is read in the container", f"use {inside}"
    if not _is_container_path(path):
        return None
    host = to_host(path, _binds(project))
    if host is None:
        return f"{path}: no mount covers it", "add a mount to the mapping cell, or use a path below one"
    if around.exists(host) or _MADE_LATER.search(before) or _MADE_LATER.search(path):
        return None
    return f"{path} leads to {host}, which does not exist", "download or make it, or mend the path"


def _disagreement(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    if around.mounts_error is not None:
        yield Finding(around.mounts_file, None, around.mounts_error, f"taowatch apply {bash(project.directory)}")
        return
    if around.mapping is None or around.in_force is None:
        return
    wanted, now = around.mapping.binds(), around.in_force.binds()
    different = sorted(d for d, source in wanted.items() if now.get(d) != source)
    if different:
        yield Finding(
            around.mounts_file,
            None,
            f"it is not this project's: {different[0]} leads to {now.get(different[0], 'nothing')}",
            f"taowatch apply {bash(project.directory)}, or taowatch run -- tao …",
        )


def _inherited(project: Resolved, around: Surroundings) -> Iterator[Finding]:
    environ = around.environ or {}
    mounts = environ.get("LAUNCHER_MOUNTS")
    if mounts and mounts not in (around.own_file, around.mounts_file):
        yield Finding(
            "environment",
            None,
            f"LAUNCHER_MOUNTS is {mounts}, which is not this project's: tao would mount what stands there",
            "unset LAUNCHER_MOUNTS, or start Jupyter in another shell",
        )
    for name, value in project.values.items():
        if name in environ and environ[name] != value:
            yield Finding(
                "environment",
                None,
                # Other names are those the user chose to export: a token may be among them.
                f"{name} is {environ[name]} in this shell, {value} in the project"
                if name in TAO_NAMES
                else f"{name} has another value in this shell than in the project",
                f"unset {name}, or start the notebook from another shell",
            )


_RULES = (
    _notebook_problems,
    _folders,
    _mapping,
    _user,
    _gpus,
    _spec_paths,
    _tao_commands,
    _disagreement,
    _inherited,
)


def _binds(project: Resolved) -> list[tuple[str, str]]:
    return [(destination, source) for source, destination in project.mounts]


def _host_path(project: Resolved, path: str) -> str | None:
    """What a path of this machine is called in the container; None where it is none below a mounted folder."""
    binds = _binds(project)
    if any(is_below(path, destination) for destination, _ in binds):
        return None
    return to_container(path, [(destination, source) for destination, source in binds if source != "/"])


def _is_container_path(path: str) -> bool:
    return any(is_below(path, root) for root in _CONTAINER_ROOTS)


def _file_of(project: Resolved) -> str:
    return project.notebook.path if project.notebook else project.directory
