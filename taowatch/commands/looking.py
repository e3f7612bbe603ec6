"""One look at the world without a daemon: the daemon's own sources and rules, asked once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from taowatch.core import events
from taowatch.core.state import State, step
from taowatch.paths import Paths
from taowatch.sinks.history import History
from taowatch.sources import docker
from taowatch.sources.processes import Processes
from taowatch.sources.projects import read_projects
from taowatch.sources.reading import notebooks_in, read_mounts_file


def look_once(paths: Paths, environ: Mapping[str, str], now: float) -> State:
    """The state as a daemon that starts now would find it."""
    state = State(str(paths.mounts_file), str(paths.home), notifications="no daemon runs")
    for event in _seen(paths, environ):
        state, _ = step(state, event, now)
    return state


def _seen(paths: Paths, environ: Mapping[str, str]) -> Iterator[events.Event]:
    processes = Processes(paths.home)
    for revision in History(paths.history).revisions(200):
        yield events.RevisionKept(revision)
    yield events.ProjectsRead(read_projects(paths))
    yield from _engine(environ, processes)
    kernels, launchers = processes.kernels_and_launchers()
    reading = read_mounts_file(str(paths.mounts_file), paths.home)
    yield events.MappingChanged(
        path=reading.path,
        state=reading.state,
        mapping=reading.mapping,
        error=reading.error,
        content=None,
        digest=reading.digest,
        written_at=reading.written_at,
        kernels=kernels,
        notebooks=notebooks_in(mount.real_source for mount in reading.mapping.mounts),
        awaits=reading.awaits,
        changed_at=reading.changed_at,
    )
    yield events.LaunchersSeen(launchers)


def _engine(environ: Mapping[str, str], processes: Processes) -> Iterator[events.Event]:
    try:
        containers = docker.running(docker.connect(environ))
    except Exception as error:  # the library fails in many ways; each is "no engine" for us
        yield events.EngineLost(docker.explain(error, docker.endpoint(environ)))
        return
    yield events.EngineConnected()
    yield events.ContainersListed(tuple((container, processes.launcher_of(container.id)) for container in containers))
