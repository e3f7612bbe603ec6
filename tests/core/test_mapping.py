"""The mounts file as the launcher reads it: a table, properties, and the real launcher beside it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taowatch.core.mapping import MAX_BYTES, Mapping, Rejected, parse
from taowatch.sources.reading import HostPaths
from tests.support.components import launcher_venv


class Everything:
    """A host on which every path is real and there."""

    def real(self, path: str) -> str:
        return os.path.normpath(path)

    def exists(self, path: str) -> bool:
        return True


def mount(source: str, destination: str) -> dict[str, str]:
    return {"source": source, "destination": destination}


def read(document: object) -> Mapping:
    return parse(json.dumps(document).encode(), Everything())


REJECTED = [
    (b"", "the file is empty"),
    (b"  \n", "the file is empty"),
    (b'{"Mounts": [', "not JSON: line 1"),
    (b"\xff\xfe", "not UTF-8 (byte 0)"),
    (b'\xef\xbb\xbf{"Mounts": []}', "not JSON"),
    (b"[]", "not a JSON object"),
    (b"{}", '"Mounts" is missing'),
    (b'{"Mounts": null}', '"Mounts" is not a list'),
    (b'{"Mounts": [], "taowatch": 1}', 'unknown key "taowatch"'),
    (b'{"Mounts": [{"source": "/a"}]}', "mount 1 has no"),
    (b'{"Mounts": ["/a"]}', "mount 1 has no"),
    (b'{"Mounts": [{"source": null, "destination": "/a"}]}', "must be strings"),
    (b'{"Mounts": [], "Envs": [{"variable": "A"}]}', "Envs entry 1"),
    (b'{"Mounts": [], "DockerOptions": null}', '"DockerOptions" is not an object'),
    (b'{"Mounts": [], "DockerOptions": {"gpus": "all"}}', 'unknown DockerOptions key "gpus"'),
    (b'{"Mounts": [], "DockerOptions": {"ulimits": 1}}', '"ulimits" is not an object'),
    (b"[" * 100_000, "nested too deep"),
    (b'{"Mounts": ' + b"1" * 5000 + b"}", ""),
    (b" " * (MAX_BYTES + 1), "larger than 4 MiB"),
    (json.dumps({"Mounts": [mount("/a", "/d"), mount("/b", "/d")]}).encode(), "Duplicate mount point"),
    (json.dumps({"Mounts": [mount("/a", "/")]}).encode(), "Docker refuses"),
]


@pytest.mark.parametrize(("content", "reason"), REJECTED, ids=[reason or "number" for _, reason in REJECTED])
def test_what_is_rejected_says_why_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as error:
        parse(content, Everything())
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_of_two_entries_with_one_source_the_later_wins() -> None:
    mapping = read({"Mounts": [mount("/a", "/first"), mount("/a/", "/second")]})
    assert mapping.binds() == {"/second": "/a"}
    assert [m.destination for m in mapping.dropped()] == ["/first"]


def test_a_relative_source_is_relative_to_the_launcher() -> None:
    assert read({"Mounts": [mount("./data", "/data")]}).binds("/home/u/tao") == {"/data": "/home/u/tao/data"}


def test_values_of_secrets_are_not_kept() -> None:
    mapping = read({"Mounts": [], "Envs": [{"variable": "WANDB_API_KEY", "value": "tellnoone"}]})
    assert "tellnoone" not in repr(mapping)
    assert mapping.options[0][0] == "Envs.WANDB_API_KEY"


@given(st.binary(max_size=300))
def test_no_content_raises_anything_else(content: bytes) -> None:
    with contextlib.suppress(Rejected):
        parse(content, Everything())


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"Mounts": _values}, optional={"Envs": _values, "DockerOptions": _values}))
def test_no_document_raises_anything_else(document: dict[str, object]) -> None:
    try:
        read(document)
    except Rejected:
        pass


_folders = st.integers(0, 9).map(lambda number: f"/host/{number}")
_mounts = st.dictionaries(_folders, st.integers(0, 99).map(lambda n: f"/container/{n}"), max_size=6).filter(
    lambda binds: len(set(binds.values())) == len(binds)
)


@given(_mounts, st.randoms(), st.sampled_from([None, 1, 4]))
def test_order_and_white_space_change_nothing(binds: dict[str, str], random: object, indent: int | None) -> None:
    entries = [mount(source, destination) for source, destination in binds.items()]
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = parse(json.dumps({"Mounts": shuffled}, indent=indent).encode(), Everything())
    assert other.binds() == read({"Mounts": entries}).binds() == {d: s for s, d in binds.items()}


def test_the_real_launcher_agrees(
    requires: Callable[..., None], environment: dict[str, str], home: Path, tmp_path: Path
) -> None:
    """The launcher's own loader on the same files: accepted or not, and with the same volumes."""
    requires("launcher")
    (home / "a").mkdir()
    (home / "b").mkdir()
    (home / "link").symlink_to("a")
    documents: list[object] = [
        {"Mounts": []},
        {"Mounts": [mount("~/a", "/d")]},
        {"Mounts": [mount(f"{home}/link", "/d"), mount(f"{home}/b/../b", "/e")]},
        {"Mounts": [mount(f"{home}/a", "/d"), mount(f"{home}/link", "/e")]},
        {"Mounts": [mount(f"{home}/gone", "/d")]},
        {"Mounts": [mount("~/a", f"{home}/link/x")]},
        {
            "Mounts": [mount("~/a", "/d")],
            "Envs": [{"variable": "A", "value": 1}],
            "DockerOptions": {"tty": False},
        },
        {"Mounts": "", "Envs": {}},
        {"Mounts": {"a": 1}},
        {"Mounts": [mount("~/a\0b", "/d")]},
        {"Mounts": [{**mount("~/a", "/d"), "more": 1}]},
    ]
    contents = [json.dumps(document).encode() for document in documents]
    contents += [content for content, _ in REJECTED if len(content) < 200_000 and b'"/d"' not in content]
    contents = [content for content in contents if content.strip() and b'"/"' not in content]
    files = []
    for number, content in enumerate(contents):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_bytes(content)
    done = subprocess.run(
        [launcher_venv() / "bin/python", "-c", _ASK_THE_LAUNCHER, *map(str, files)],
        env=environment,
        capture_output=True,
        text=True,
    )
    answers = [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert len(answers) == len(files), done.stderr
    for content, answer in zip(contents, answers, strict=True):
        try:
            ours: object = parse(content, HostPaths(home)).binds()
        except Rejected:
            ours = None
        assert ours == json.loads(answer), content[:200]


_ASK_THE_LAUNCHER = """
import json, sys
from nvidia_tao_cli.components.docker_handler.docker_handler import DockerHandler
for path in sys.argv[1:]:
    handler = DockerHandler.__new__(DockerHandler)
    handler._docker_mount_file = path
    try:
        mounts, envs, options = handler._get_mount_env_data()
        volumes = handler.formatted_mounts(mounts)
        handler.formatted_envs(envs)
        options.keys()
        handler.get_docker_option_args(options)
        answer = {v["bind"]: s for s, v in volumes.items()}
    except Exception as error:
        answer = None
    print("ANSWER", json.dumps(answer))
"""
