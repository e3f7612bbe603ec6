"""Files of ours that somebody else's hand, a crash or a bad disk spoiled: set aside, said, started fresh."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taowatch.commands.status import snapshot
from taowatch.core.effects import KeepRevision
from taowatch.core.model import NOBODY
from taowatch.errors import TaowatchError
from taowatch.lock import Lock
from taowatch.paths import Paths
from taowatch.sinks.history import History
from taowatch.sinks.kept import Kept
from taowatch.sinks.shown import Memory
from taowatch.sources.docker import container_of
from taowatch.sources.docker_endpoint import resolve
from taowatch.sources.projects import FILE, read_projects, read_settings
from tests.faults.conftest import Scene
from tests.support.waiting import wait_until

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
fuzzed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GARBAGE = b"\x00\xff{]garbage\n"


def test_a_damaged_history_is_set_aside_and_the_rest_is_kept(scene: Scene) -> None:
    scene.write("one")
    scene.start()
    wait_until(lambda: scene.revisions() == 1, 5)
    scene.write("two")
    wait_until(lambda: scene.revisions() == 2, 5)
    scene.daemon.kill()
    history = next((scene.home / ".local/state/taowatch/history").iterdir())
    (history / "000002.json").write_bytes(GARBAGE)
    scene.write("three")
    scene.start()
    wait_until(lambda: scene.revisions() == 3, 5, lambda: str(scene.daemon.snapshot()))
    assert "revision 2 is damaged" in scene.daemon.log
    assert sorted(path.name for path in history.iterdir()) == ["000001.json", "000002.damaged", "000003.json"]


def test_damaged_files_of_the_moment_are_replaced(scene: Scene) -> None:
    scene.write("one")
    runtime = Path(scene.environment["XDG_RUNTIME_DIR"]) / "taowatch"
    runtime.mkdir(mode=0o700)
    for name in ("status.json", "lock", "shown.json", "kept.json"):
        (runtime / name).write_bytes(GARBAGE)
    log = scene.home / ".local/state/taowatch"
    log.mkdir(mode=0o700)
    Paths.of(scene.environment).log.write_bytes(GARBAGE)
    scene.start()
    scene.until_seen("one")
    assert "shown.json is damaged" in scene.daemon.log
    assert "kept.json is damaged" in scene.daemon.log
    logged = scene.daemon.command("logs").stdout
    assert "garbage" in logged
    assert "ready" in logged
    assert "\x00" not in logged


@pytest.mark.requires("root")
def test_a_revision_of_somebody_else_is_passed_over(tmp_path: Path) -> None:
    directory = tmp_path / "state/history/host"
    history = History(directory)
    for number in range(2):
        content = b"{}" + b" " * number
        from taowatch.core.mapping import digest

        history.add(KeepRevision("/f", content, digest(content), None, 0.0, NOBODY))
    # Root reads everything; a link that leads nowhere and a directory fail in the same way as what may not be read.
    (directory / "000002.json").unlink()
    (directory / "000002.json").mkdir()
    assert [revision.number for revision in history.revisions()] == [1]


@fuzzed
@given(document=JSON, wrap=st.sampled_from([None, "revision", "shown", "status"]))
def test_any_json_is_survived(tmp_path: Path, document: object, wrap: str | None) -> None:
    directory = tmp_path / "h"
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        path.unlink()
    file = directory / "000001.json"
    whole = {
        "revision": {
            "path": document,
            "digest": document,
            "written_at": document,
            "binds": document,
            "owner": document,
            "content": "",
        },
        "shown": {"server": "x", "shown": document},
        "status": {"version": 1, "daemon": document},
    }
    file.write_text(json.dumps(whole.get(wrap or "", document)))
    Memory(file)
    Kept(file).read()
    assert History(directory).revisions() == []


@fuzzed
@given(content=st.binary())
def test_any_bytes_are_survived(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "h"
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        path.unlink()
    file = directory / "000001.json"
    file.write_bytes(content)
    Memory(file)
    Kept(file).read()
    assert History(directory).revisions() == []


@fuzzed
@given(facts=st.dictionaries(st.sampled_from(["Id", "Config", "Mounts", "Created"]), JSON))
def test_any_answer_of_an_engine_is_survived(facts: dict[str, object]) -> None:
    container_of(facts)
    container_of({**facts, "Config": {"Image": "nvcr.io/nvidia/tao/tao-toolkit:1"}})


@fuzzed
@given(config=JSON, meta=JSON)
def test_any_docker_configuration_is_survived(tmp_path: Path, config: object, meta: object) -> None:
    import hashlib

    docker = tmp_path / "docker"
    name = hashlib.sha256(b"c").hexdigest()
    (docker / "contexts/meta" / name).mkdir(parents=True, exist_ok=True)
    (docker / "config.json").write_text(json.dumps(config))
    (docker / "contexts/meta" / name / "meta.json").write_text(json.dumps(meta))
    environ = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(docker)}
    assert resolve(environ).url
    assert resolve({**environ, "DOCKER_CONTEXT": "c"}).url


def test_a_status_that_is_no_status_counts_as_none(environment: dict[str, str]) -> None:
    paths = Paths.of(environment)
    Lock(paths.lock).take()
    for content in (b"", b"[]", b"3", b"null", GARBAGE, b"[" * 100_000):
        paths.status.write_bytes(content)
        assert snapshot(paths) is None
    assert os.path.exists(paths.lock)


@fuzzed
@given(entry=JSON, directory=st.text(), digest=st.text())
def test_any_entry_of_a_project_is_survived(
    environment: dict[str, str], entry: object, directory: str, digest: str
) -> None:
    paths = Paths.of(environment)
    paths.projects.mkdir(parents=True, exist_ok=True)
    (paths.projects / "a.json").write_text(json.dumps(entry))
    (paths.projects / "b.json").write_text(json.dumps({"directory": directory, "digest": digest}))
    (paths.projects / "c.json").write_text(json.dumps({"directory": entry, "digest": entry}))
    assert read_projects(paths) == ()


@fuzzed
@given(text=st.text() | st.binary())
def test_any_settings_are_survived(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / FILE
    file.write_bytes(text.encode("utf-8", "replace") if isinstance(text, str) else text)
    with suppress(TaowatchError):
        read_settings(tmp_path)
