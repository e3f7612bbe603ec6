"""init, allow, deny, env, apply and path as commands, in a scratch home."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taowatch.core.layout import Variable
from taowatch.core.quoting import bash
from taowatch.core.settings import BadSettings, parse_project, project_text
from taowatch.core.translate import to_container, to_host
from tests.support.daemon import Daemon
from tests.support.kernels import mapping_cells, write_notebook
from tests.support.waiting import wait_until


@pytest.fixture
def taowatch(environment: dict[str, str]) -> Daemon:
    return Daemon(environment)


@pytest.fixture
def project(home: Path) -> Path:
    directory = home / "tao/yolo_v4"
    write_notebook(directory / "yolo_v4.ipynb", mapping_cells(directory))
    (directory / "specs").mkdir()
    return directory


def test_env_json_is_the_contract(project: Path, taowatch: Daemon) -> None:
    assert taowatch.command("init", str(project)).returncode == 0
    document = json.loads(taowatch.command("env", "--json", str(project)).stdout)
    assert document["project"] == str(project)
    assert document["layout"] == "local"
    assert document["variables"]["LOCAL_PROJECT_DIR"] == {"value": str(project), "side": "host", "from": "notebook"}
    assert document["variables"]["SPECS_DIR"]["side"] == "container"
    assert {"source": str(project), "destination": "/workspace/tao-experiments"} in document["mounts"]
    assert set(document["docker_options"]) == {"user"}
    assert document["problems"] == []


def test_of_several_notebooks_one_has_to_be_named(project: Path, taowatch: Daemon) -> None:
    write_notebook(project / "other.ipynb", mapping_cells(project))
    done = taowatch.command("init", str(project))
    assert done.returncode == 2
    assert "several notebooks" in done.stderr
    done = taowatch.command("init", str(project / "other.ipynb"))
    assert done.returncode == 0, done.stderr
    assert 'notebook = "other.ipynb"' in (project / ".taowatch.toml").read_text()


def test_a_notebook_without_a_mapping_is_passed_over(project: Path, taowatch: Daemon) -> None:
    write_notebook(project / "notes.ipynb", ["print(1)"])
    assert taowatch.command("init", str(project)).returncode == 0
    assert 'notebook = "yolo_v4.ipynb"' in (project / ".taowatch.toml").read_text()


def test_without_a_notebook_the_rules_fill_all(home: Path, taowatch: Daemon) -> None:
    for layout, name in (("local", "LOCAL_SPECS_DIR"), ("host", "HOST_RESULTS_DIR")):
        directory = home / layout
        directory.mkdir()
        done = taowatch.command("init", str(directory), "--layout", layout)
        assert done.returncode == 0, done.stderr
        variables = json.loads(taowatch.command("env", "--json", str(directory)).stdout)["variables"]
        assert variables[name]["from"] == "rule"
        assert all("{" not in known["value"] for known in variables.values()), variables


def test_what_changed_is_shown_before_it_is_trusted_again(project: Path, taowatch: Daemon) -> None:
    assert taowatch.command("init", str(project)).returncode == 0
    with (project / ".taowatch.toml").open("a") as file:
        file.write('\n[variables]\nNUM_GPUS = "2"\n')
    assert not json.loads(taowatch.command("status", "--json").stdout)["projects"][0]["allowed"]
    done = taowatch.command("allow", str(project))
    assert '+NUM_GPUS = "2"' in done.stdout
    assert json.loads(taowatch.command("status", "--json").stdout)["projects"][0]["allowed"]


def test_what_others_can_write_is_not_trusted(project: Path, taowatch: Daemon) -> None:
    assert taowatch.command("init", str(project)).returncode == 0
    for path in (project / ".taowatch.toml", project):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        done = taowatch.command("allow", str(project))
        assert (done.returncode, "can be written by others" in done.stderr) == (1, True)
        path.chmod(mode)


KEYS = [('value = "secret1"', "secret1"), ('file = "key.txt"', "secret2"), ('command = ["cat", "key.txt"]', "secret2")]


@pytest.mark.parametrize(("line", "value"), KEYS)
def test_key_is_exported_where_the_user_opted_in(line: str, value: str, project: Path, taowatch: Daemon) -> None:
    (project / "key.txt").write_text("secret2\n")
    assert taowatch.command("init", str(project)).returncode == 0
    assert "KEY=" not in taowatch.command("env", str(project)).stdout
    with (project / ".taowatch.toml").open("a") as file:
        file.write(f"\n[key]\n{line}\n")
    said = taowatch.command("allow", str(project))
    assert said.returncode == 0, said.stderr
    assert f"export KEY='{value}'" in taowatch.command("env", str(project)).stdout
    assert value not in taowatch.command("env", "--explain", str(project)).stdout


def test_an_isolated_project_has_a_mounts_file_before_it_is_named(project: Path, taowatch: Daemon) -> None:
    assert taowatch.command("init", str(project)).returncode == 0
    toml = project / ".taowatch.toml"
    toml.write_text("isolate = true\n" + toml.read_text())
    assert taowatch.command("allow", str(project)).returncode == 0
    hook = 'eval "$(taowatch hook bash)"; __taowatch_hook 2>/dev/null; cat "$LAUNCHER_MOUNTS"'
    path = f"{Path(sys.executable).parent}:{taowatch.environment['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-ic", hook],
        cwd=project,
        env={**taowatch.environment, "PATH": path},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert json.loads(done.stdout)["Mounts"][0]["source"] == str(project), done.stderr


BAD = [
    ('nmae = "x"', "line 1: unknown key nmae (accepted: name,"),
    ('name = "x"\nlayout = "other"', "line 2: layout is 'other' (accepted: local, host)"),
    ("isolate = 1", "line 1: isolate must be true or false"),
    ('[variables]\nPATH = "/x"', "line 2: variables.PATH: 'PATH' is no name that a project may set"),
    ('[variables]\nLD_PRELOAD = "/x"', "LD_PRELOAD"),
    ('export = ["BASH_ENV"]', "BASH_ENV"),
    ('[variables]\nKEY = "x"', "a table of its own, [key]"),
    ("[variables]\nNUM_GPUS = 2", "line 2: variables.NUM_GPUS must be a string"),
    ('[key]\nvalue = "a"\nfile = "b"', "exactly one of value, file, command"),
    ("name = ", "not TOML"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_wrong_settings_are_said_with_line_key_and_what_is_accepted(text: str, said: str) -> None:
    with pytest.raises(BadSettings) as caught:
        parse_project(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()))
def test_settings_are_read_back_as_they_were_written(name: str) -> None:
    found = parse_project(project_text(parse_project(f"name = {json.dumps(name, ensure_ascii=False)}\nisolate = true")))
    assert (found.name, found.isolate) == (name, True)


# --- apply and path -------------------------------------------------------------------------------


@pytest.fixture
def job(home: Path, environment: dict[str, str]) -> Iterator[Path]:
    """A launcher of another project that is alive."""
    directory = home / "tao/other"
    (directory / "specs").mkdir(parents=True)
    program = home / "bin/tao"
    program.parent.mkdir()
    program.write_text("import time; time.sleep(1000)")
    file = home / ".tao_mounts.json"
    mounts = [{"source": str(directory), "destination": "/workspace/tao-experiments"}]
    file.write_text(json.dumps({"Mounts": mounts}))
    child = subprocess.Popen([sys.executable, str(program), "model", "dino", "train"], cwd=directory, env=environment)
    yield directory
    child.kill()
    child.wait()


def test_apply_writes_and_can_be_undone(project: Path, home: Path, taowatch: Daemon) -> None:
    file = home / ".tao_mounts.json"
    file.write_text('{"Mounts": []}')
    assert taowatch.command("init", str(project)).returncode == 0
    done = taowatch.command("apply", str(project))
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["Mounts"][0]["source"] == str(project)
    assert "taowatch apply" in taowatch.command("history").stdout
    assert taowatch.command("restore").returncode == 0
    assert file.read_text() == '{"Mounts": []}'


def test_apply_refuses_what_would_hit_a_live_job(
    project: Path, job: Path, home: Path, environment: dict[str, str]
) -> None:
    taowatch = Daemon(environment, {"DOCKER_HOST": f"unix://{home}/none.sock"})
    assert taowatch.command("init", str(project)).returncode == 0
    before = (home / ".tao_mounts.json").read_bytes()
    wait_until(lambda: json.loads(taowatch.command("status", "--json").stdout)["jobs"], 10, "the job")
    done = taowatch.command("apply", str(project))
    assert done.returncode == 1
    assert "dino train" in done.stderr
    assert "/workspace/tao-experiments" in done.stderr
    assert "--force" in done.stderr
    assert (home / ".tao_mounts.json").read_bytes() == before
    assert taowatch.command("apply", "--force", str(project)).returncode == 0


def test_path_translates_both_ways(project: Path, home: Path, taowatch: Daemon) -> None:
    assert taowatch.command("init", str(project)).returncode == 0
    inside = taowatch.command("path", str(project / "specs/train.yaml"), "--project", str(project)).stdout.strip()
    assert inside == "/workspace/tao-experiments/yolo_v4/specs/train.yaml", "the longest mount wins"
    outside = taowatch.command("path", inside, "--project", str(project)).stdout.strip()
    assert outside == str(project / "specs/train.yaml")
    done = taowatch.command("path", "/nowhere", "--project", str(project))
    assert (done.returncode, "no mount has /nowhere" in done.stderr) == (1, True)
    assert "is missing" in taowatch.command("path", "/data").stderr


_parts = st.lists(st.sampled_from(["a", "b", "数据", "x y", "$z"]), max_size=3).map(
    lambda parts: "".join(f"/{p}" for p in parts)
)


@given(_parts, st.sampled_from(["/h/p", "/h/p/specs", "/raid"]))
def test_there_and_back_is_the_same(rest: str, source: str) -> None:
    binds = [("/workspace", "/h/p"), ("/specs", "/h/p/specs"), ("/data", "/raid")]
    path = source + rest
    inside = to_container(path, binds)
    assert inside is not None
    assert to_host(inside, binds) == path


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_survive_a_real_shell(value: str) -> None:
    variable = Variable("DATA_DIR", value, "container", "config")
    line = f'export {variable.name}={bash(variable.value)}; printf %s "$DATA_DIR"'
    done = subprocess.run(["bash", "--norc", "-c", line], capture_output=True)
    assert done.stdout == value.encode()
