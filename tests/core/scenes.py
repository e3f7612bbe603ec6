"""Small scenes as values: what happened, and the state that comes of it."""

from __future__ import annotations

from taowatch.core import effects, events
from taowatch.core.jobs import Container, Launcher
from taowatch.core.mapping import EMPTY, Mapping, Mount
from taowatch.core.model import INVALID, MISSING, OK, Owner, Revision
from taowatch.core.state import State, step

FILE = "/home/u/.tao_mounts.json"
A, B = {"/w": "/home/u/a", "/s": "/home/u/a/specs"}, {"/w": "/home/u/b"}
CONTAINER_ID = "c" * 64


def mapping(binds: dict[str, str]) -> Mapping:
    return Mapping(tuple(Mount(source, destination, source, destination) for destination, source in binds.items()))


def changed(
    binds: dict[str, str] | None, at: float, error: str | None = None, path: str = FILE, options: str = ""
) -> events.MappingChanged:
    state = INVALID if error else MISSING if binds is None else OK
    content = None if binds is None else repr((sorted(binds.items()), options)).encode()
    found = EMPTY if binds is None or error else Mapping(mapping(binds).mounts, ((options, "1"),) if options else ())
    written = None if binds is None else at
    digest = content.hex() if content else None
    return events.MappingChanged(path, state, found, error, content, digest, written, changed_at=written)


def launcher(at: float, *extra: str) -> Launcher:
    return Launcher(77, at, ("model", "dino", "train", *extra), "/home/u/a", None, CONTAINER_ID, Owner("/home/u/a"))


def container(binds: dict[str, str], at: float = 3.0) -> Container:
    return Container(CONTAINER_ID, "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt", at, tuple(sorted(binds.items())))


def play(*happened: events.Event, state: State | None = None) -> tuple[State, list[effects.Effect]]:
    """The state after these events, with the effects of the last one; kept revisions come back as they do in life."""
    state = state or State(FILE, "/home/u", docker="connected")
    done: list[effects.Effect] = []
    clock = max((moment.seen for moment in state.timeline), default=0.0)
    for event in happened:
        clock = max(clock + 0.001, getattr(event, "written_at", None) or 0.0)
        state, done = step(state, event, clock)
        for effect in [e for e in done if isinstance(e, effects.KeepRevision)]:
            number_of_revision = len(state.revisions) + 1
            revision = Revision(
                number_of_revision, effect.path, effect.digest, effect.written_at, effect.binds, effect.owner
            )
            state, more = step(state, events.RevisionKept(revision), clock)
            done = done + more
    return state, done


def running(binds: dict[str, str] = A, *extra: str) -> tuple[events.Event, ...]:
    return changed(A, 1.0), events.ContainerSeen(container(binds), launcher(2.0, *extra))
