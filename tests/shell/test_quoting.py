"""Any value and any directory name comes out of a shell as it went in, and nothing in it is executed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.shell.conftest import Hooked, each_shell
from tests.support.components import requires

# What shells give a meaning to, beside arbitrary bytes.
SPECIAL = [b"'", b'"', b"\\", b"$", b"$(touch pwned)", b"`touch pwned`", b"\n", b"\r", b"!", b"!!", b"*", b"?", b"~"]
SPECIAL += [b"{a,b}", b"=ls", b"%", b"%25", b"%0A", b"|", b"&", b";", b"#", b"<(x)", b"\x1b", b"\x01", b"\x7f", b"-n"]
SPECIAL += ["é".encode(), b"\xff", b"\xc3", b"\xf0\x9f", "\uf600".encode(), "\uf6ff".encode(), b" ", b"\t", b"^", b"[a"]
pieces = st.one_of(st.sampled_from(SPECIAL), st.binary(max_size=5).map(lambda value: value.replace(b"\0", b"")))
values = st.lists(pieces, max_size=12).map(b"".join)
names = values.map(lambda value: value.replace(b"/", b"")[:255]).filter(lambda name: name not in (b"", b".", b".."))

CALL = {
    "bash": '{line}; __taowatch_hook; "$1" "$2" >"$3/inside"; cd /; __taowatch_hook; "$1" "$2" >"$3/outside"',
    "fish": "{line}; emit fish_prompt; $argv[1] $argv[2] >$argv[3]/inside;"
    " cd /; emit fish_prompt; $argv[1] $argv[2] >$argv[3]/outside",
}
CALL["zsh"] = CALL["bash"]
NAMES = ("NUM_GPUS", "DATA_DIR", "SPECS_DIR", "RESULTS_DIR")


def through(
    shell: str, hooked: Hooked, folder: Path, directory: Path, environment: Mapping[str, str]
) -> tuple[list[bytes], list[bytes]]:
    """The variables as a child sees them inside of a project and outside of it again."""
    dump = folder / "dump"
    if not dump.exists():
        # Not Python, which costs a hundred times as much to start.
        words = " ".join(f'"${{{name}-unset}}"' for name in NAMES)
        dump.write_text(f"printf '%s\\0' {words}\n")
    command: Sequence[str] = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}[shell]
    text = CALL[shell].format(line=hooked.line(shell))
    arguments = [] if shell == "fish" else ["shell"]
    done = subprocess.run(
        [shell, *command, "-c", text, *arguments, "sh", str(dump), str(folder)],
        cwd=directory,
        env={**environment, "TAOWATCH_QUIET": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        start_new_session=True,
    )
    complaints = [
        line for line in done.stderr.splitlines() if b"job control" not in line and b"process group" not in line
    ]
    assert (done.returncode, complaints) == (0, []), done.stderr
    return tuple((folder / name).read_bytes().split(b"\0")[:-1] for name in ("inside", "outside"))  # type: ignore[return-value]


def ascii_only(value: bytes) -> bytes:
    return bytes(byte for byte in value if byte < 128)


@each_shell
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@example([b"", b"'", b"\xff\xc3(", b"$(touch pwned)`touch pwned`"], b"it's \xff\n $(touch pwned)", b"|%7C+\n\n")
@example([b"x" * 100_000, b"\n\n", b"\\", b"\xef\x98\x80"], b"\n\n", b"-\n")
@given(st.lists(values, min_size=4, max_size=4), names, values)
def test_values_and_directories_round_trip(
    shell: str, locale: str, hooked: Hooked, tmp_path: Path, given: list[bytes], name: bytes, before: bytes
) -> None:
    requires(shell)
    parent = tmp_path / "parent"
    shutil.rmtree(parent, ignore_errors=True)
    if shell == "fish" and locale == "C":
        # There fish 3.6 itself cannot find a directory whose name is not ASCII (`test -d $PWD`), nor copy what it
        # inherited (`set -gx COPY $DATA_DIR`).
        name, before = ascii_only(name) or b"x", ascii_only(before)
    directory = parent / os.fsdecode(name)
    pairs = dict(zip(NAMES, map(os.fsdecode, given), strict=True))
    hooked.plain(directory, **pairs)
    environment = {**hooked.environment, "LC_ALL": locale, "DATA_DIR": os.fsdecode(before)}
    inside, outside = through(shell, hooked, tmp_path, directory, environment)
    assert inside == given
    assert outside == [b"unset", before, b"unset", b"unset"]
    assert not list(parent.rglob("pwned"))
    assert not (Path("/") / "pwned").exists()


@each_shell
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@example([b"|", b"%7C%25", b"\n%0A", b"\xff"], b"+|%")
@given(st.lists(values, min_size=4, max_size=4), values)
def test_state_round_trips_through_a_child(
    shell: str, hooked: Hooked, tmp_path: Path, given: list[bytes], before: bytes
) -> None:
    """A8: what the child is told, it understands, whatever the values are."""
    requires(shell)
    directory = hooked.plain(tmp_path / "p", **dict(zip(NAMES, map(os.fsdecode, given), strict=True)))
    environment = {**hooked.environment, "DATA_DIR": os.fsdecode(before), "LC_ALL": "C.UTF-8"}
    dump = tmp_path / "env"
    dump.write_text("exec cat /proc/self/environ\n")
    words = ["bash", "--norc", "-i", "-c", f'{hooked.line("bash")}; __taowatch_hook; exec sh "$1"', "bash", str(dump)]
    seen = subprocess.run(words, cwd=directory, env=environment, capture_output=True, stdin=subprocess.DEVNULL)
    inherited = {
        os.fsdecode(name): os.fsdecode(value)
        for name, _, value in (entry.partition(b"=") for entry in seen.stdout.split(b"\0") if entry)
    }
    assert inherited["TAOWATCH_PROJECT"] == str(directory)
    _, outside = through(shell, hooked, tmp_path, directory, inherited)
    assert outside == [b"unset", before, b"unset", b"unset"]
