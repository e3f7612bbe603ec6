"""`env`: the contract of its JSON, the table, KEY by opt-in only, and words that a real shell reads back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taowatch.core.settings import ProjectSettings, project_text
from tests.support.commands import Taowatch
from tests.support.kernels import mapping_cells, write_notebook

NAMES = ("LOCAL_DATA_DIR", "USER_EXPERIMENT_DIR", "MODEL_NAME")


@pytest.fixture
def project(home: Path) -> Path:
    directory = home / "tao" / "用户's $HOME yolo"
    (directory / "specs").mkdir(parents=True)
    write_notebook(directory / "yolo.ipynb", mapping_cells(directory, "yolo"))
    (directory / ".taowatch.toml").write_text("")
    return directory


def configure(project: Path, text: str) -> None:
    (project / ".taowatch.toml").write_text(text)


def in_bash(words: str, environment: dict[str, str], names: tuple[str, ...]) -> list[str]:
    shown = " ".join(f'"${{{name}-unset}}"' for name in names)
    script = f"set -e\n{words}\nprintf '%s\\0' {shown}"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), (done.returncode, done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


def test_the_json_is_the_contract(project: Path, taowatch: Taowatch) -> None:
    configure(project, '[variables]\nDATA_DOWNLOAD_DIR = "/data"\n')
    document = taowatch.json("env", project)
    assert (document["project"], document["layout"]) == (str(project), "local")
    variables = document["variables"]
    assert variables["LOCAL_PROJECT_DIR"] == {"value": str(project), "side": "host", "from": "notebook"}
    assert variables["DATA_DOWNLOAD_DIR"] == {"value": "/data", "side": "container", "from": "config"}
    assert variables["NUM_GPUS"] == {"value": "1", "side": "both", "from": "notebook"}
    assert "KEY" not in variables
    assert document["mounts"] == [
        {"source": str(project), "destination": "/workspace/tao-experiments"},
        {"source": f"{project}/specs", "destination": "/workspace/tao-experiments/yolo/specs"},
    ]
    assert document["docker_options"] == {"user": f"{os.getuid()}:{os.getgid()}"}
    assert document["problems"] == []


def test_without_a_notebook_the_rules_hold(home: Path, taowatch: Taowatch) -> None:
    (home / "p").mkdir()
    configure(home / "p", 'layout = "host"\n')
    variables = taowatch.json("env", home / "p")["variables"]
    assert variables["HOST_DATA_DIR"] == {"value": f"{home}/p/data", "side": "host", "from": "rule"}
    assert variables["NUM_GPUS"] == {"value": "1", "side": "both", "from": "default"}
    assert {entry["from"] for entry in variables.values()} == {"rule", "default"}


def test_explain_shows_both_sides_and_what_is_there(project: Path, taowatch: Taowatch) -> None:
    rows = {line.split()[0]: line for line in taowatch.said("env", project, "--explain").splitlines() if line.split()}
    assert rows["LOCAL_SPECS_DIR"].split()[1] == "host"
    assert rows["LOCAL_SPECS_DIR"].endswith("exists")
    assert rows["LOCAL_DATA_DIR"].endswith("missing")
    assert rows["SPECS_DIR"].split()[1] == "container"
    assert rows["SPECS_DIR"].endswith("exists")
    assert "not exported" in rows["KEY"]
    assert rows["/workspace/tao-experiments"].endswith(str(project))


def test_explain_warns_of_what_the_shell_inherited(project: Path, taowatch: Taowatch) -> None:
    more = {"LOCAL_DATA_DIR": "/other/data", "LAUNCHER_MOUNTS": "/other.json"}
    said = taowatch.said("env", project, "--explain", **more)
    assert "this shell has LOCAL_DATA_DIR=/other/data, the project" in said
    assert "this shell has LAUNCHER_MOUNTS=/other.json" in said


OPT_IN = {
    "value": '[key]\nvalue = "s3cret\'$x"\n',
    "file": '[key]\nfile = "key.txt"\n',
    "command": f'[key]\ncommand = [{sys.executable!r}, "-c", "print(open(\'key.txt\').read())"]\n',
}


@pytest.mark.parametrize("way", OPT_IN)
def test_key_is_exported_where_the_user_opted_in(way: str, project: Path, taowatch: Taowatch) -> None:
    configure(project, OPT_IN[way])
    (project / "key.txt").write_text("s3cret'$x\n")
    words = taowatch.said("env", project)
    assert in_bash(words, taowatch.environment, ("KEY",)) == ["s3cret'$x"]
    assert "s3cret" not in taowatch.said("env", project, "--explain")


def test_key_is_never_exported_otherwise(project: Path, taowatch: Taowatch) -> None:
    for form in ("bash", "zsh", "fish", "dotenv"):
        assert "KEY" not in taowatch.said("env", project, "--shell", form).replace("LOCAL", "")
    configure(project, '[variables]\nKEY = "x"\n')
    assert "KEY has a table of its own" in taowatch.refused("env", project)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('file = "nowhere"', "No such file"),
        ('command = ["false"]', "ended with 1"),
        ('command = ["no-such-program"]', "no-such-program"),
        ('command = ["true"]', "empty"),
    ],
)
def test_a_key_that_cannot_be_had_is_one_line(key: str, said: str, project: Path, taowatch: Taowatch) -> None:
    configure(project, f"[key]\n{key}\n")
    assert said in taowatch.refused("env", project)


SETTINGS = {
    "unknown key": ('name = "x"\nnotbook = "y"\n', ("line 2", "notbook", "accepted: name, notebook")),
    "wrong type": ('\n\nisolate = "yes"\n', ("line 3", "isolate", "true or false")),
    "wrong layout": ('layout = "hots"\n', ("line 1", "layout", "accepted: local, host")),
    "a name that shells obey": ('export = ["PATH"]\n', ("line 1", "PATH")),
    "a loader's": ('[variables]\nLD_PRELOAD = "/x"\n', ("line 2", "LD_PRELOAD")),
    "two keys": ('[key]\nvalue = "a"\nfile = "b"\n', ("line 1", "exactly one of value, file, command")),
    "a number": ("[variables]\nNUM_GPUS = 2\n", ("line 2", "NUM_GPUS must be a string")),
    "no TOML": ("name = \n", ("not TOML", "line 1")),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_wrong_settings_are_said_with_line_key_and_what_is_accepted(
    case: str, project: Path, taowatch: Taowatch
) -> None:
    text, words = SETTINGS[case]
    configure(project, text)
    said = taowatch.refused("env", project)
    assert all(word in said for word in (str(project), *words)), said


def test_strange_directories_come_through_the_shell(home: Path, taowatch: Taowatch) -> None:
    for name in (
        "a b",
        "it's",
        '"q"',
        "$(touch pwned)",
        "`id`",
        "数据 集",
        "line\nbreak",
        "-n",
        "a\\b",
        "!x",
        "*",
        "\udcff",
    ):
        directory = home / name
        directory.mkdir()
        configure(directory, "")
        words = f'words="$(cd "$D" && {sys.executable} -m taowatch env .)" && eval "$words"'
        environment = {**taowatch.environment, "D": str(directory), "PYTHONPATH": os.getcwd()}
        assert in_bash(words, environment, ("LOCAL_PROJECT_DIR",)) == [str(directory)]
    assert not (home / "pwned").exists()


_values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.text(
    st.sampled_from("'\"\\$`!#&;|(){}*?~ \n\t\r数据%="), max_size=30
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.tuples(_values, _values, _values))
def test_any_value_comes_through_bash_as_it_was(values: tuple[str, ...], project: Path, taowatch: Taowatch) -> None:
    text = project_text(ProjectSettings(variables=dict(zip(NAMES, values, strict=True))))
    (project / ".taowatch.toml").write_bytes(text.encode())
    for form in ("bash", "dotenv"):
        words = taowatch.environment["XDG_RUNTIME_DIR"] + "/words"
        with open(words, "wb") as file:
            command = [sys.executable, "-m", "taowatch", "env", project, "--shell", form]
            subprocess.run(command, env=taowatch.environment, stdout=file, check=True, timeout=60)
        assert in_bash(f"set -a; . {words}", taowatch.environment, NAMES) == list(values)
