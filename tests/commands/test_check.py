"""`check` on a freshly downloaded sample names every problem that a beginner would meet, until all are mended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.kernels import mapping_cells, write_notebook

SETUP = """\
import os
%env KEY=tlt_encode
%env NUM_GPUS=1
%env USER_EXPERIMENT_DIR=/workspace/tao-experiments/yolo_v4
%env DATA_DOWNLOAD_DIR=/workspace/tao-experiments/data
os.environ["LOCAL_PROJECT_DIR"] = {project}
os.environ["LOCAL_DATA_DIR"] = os.path.join(os.getenv("LOCAL_PROJECT_DIR", os.getcwd()), "data")
os.environ["LOCAL_EXPERIMENT_DIR"] = os.path.join(os.getenv("LOCAL_PROJECT_DIR", os.getcwd()), "yolo_v4")
os.environ["LOCAL_SPECS_DIR"] = os.path.join(os.getcwd(), "specs")
%env SPECS_DIR=/workspace/tao-experiments/yolo_v4/specs
"""

MAPPING = """\
import json
drive_map = {{
    "Mounts": [
        {{"source": os.environ["LOCAL_PROJECT_DIR"], "destination": "/workspace/tao-experiments"}},
        {{"source": os.environ["LOCAL_SPECS_DIR"], "destination": os.environ["SPECS_DIR"]}},
    ]{options}
}}
with open(os.path.expanduser("~/.tao_mounts.json"), "w") as mfile:
    json.dump(drive_map, mfile, indent=4)
"""

USER = ',\n    "DockerOptions": {"user": "{}:{}".format(os.getuid(), os.getgid())}'

SPEC = """\
dataset_config:
  data_sources:
    label_directory_path: "{labels}"
    image_directory_path: "{images}"
  validation: "/dataset/val"
training_config:
  output_dir: /workspace/tao-experiments/yolo_v4/unpruned
  pretrain_model_path: {model}  # downloaded below
"""


@pytest.fixture
def taowatch(environment: dict[str, str]) -> Daemon:
    return Daemon(environment)


class Sample:
    """A directory as one has it after `git clone` and a look around."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notebook = directory / "yolo_v4.ipynb"
        self.spec = directory / "specs/train.txt"

    def download(self) -> None:
        train = f"!tao model yolo_v4 train -e $LOCAL_SPECS_DIR/train.txt -r {self.directory}/yolo_v4 -k $KEY"
        write_notebook(self.notebook, [SETUP.format(project="FIXME"), MAPPING.format(options=""), train])
        self.spec.parent.mkdir()
        self.spec.write_text(
            SPEC.format(
                labels="/workspace/tao-experiments/data/labels",
                images=f"{self.directory}/data/images",
                model="/data/resnet18.hdf5",
            )
        )

    def mend(self) -> None:
        train = "!tao model yolo_v4 train -e $SPECS_DIR/train.txt -r $USER_EXPERIMENT_DIR -k $KEY"
        cells = [SETUP.format(project=repr(str(self.directory))), MAPPING.format(options=USER), train]
        write_notebook(self.notebook, cells)
        for name in ("data/labels", "data/images", "yolo_v4"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "yolo_v4/resnet18.hdf5").write_bytes(b"weights")
        self.spec.write_text(
            SPEC.format(
                labels="/workspace/tao-experiments/data/labels",
                images="/workspace/tao-experiments/data/images/*",
                model="/workspace/tao-experiments/yolo_v4/resnet18.hdf5",
            ).replace("images/*", "images")
        )


@pytest.fixture
def sample(home: Path) -> Sample:
    directory = home / "tao/我的 yolo"
    directory.mkdir(parents=True)
    made = Sample(directory)
    made.download()
    return made


def found(taowatch: Daemon, directory: Path) -> list[dict[str, Any]]:
    done = taowatch.command("check", "--json", str(directory))
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    assert done.returncode == (1 if findings else 0), done.stderr
    return findings


EXPECTED = [
    ("yolo_v4.ipynb", 1, 6, "LOCAL_PROJECT_DIR is still a placeholder"),
    ("yolo_v4.ipynb", None, None, "LOCAL_EXPERIMENT_DIR: the folder"),
    ("yolo_v4.ipynb", None, None, "LOCAL_DATA_DIR: the folder"),
    ("yolo_v4.ipynb", None, None, "no DockerOptions user"),
    ("train.txt", None, 3, "/workspace/tao-experiments/data/labels leads to"),
    ("train.txt", None, 4, "is a path of this machine"),
    ("train.txt", None, 8, "/data/resnet18.hdf5: no mount covers it"),
    ("yolo_v4.ipynb", 3, 1, "$LOCAL_SPECS_DIR is a folder of this machine"),
    ("yolo_v4.ipynb", 3, 1, "yolo_v4 is a path of this machine"),
]


def test_each_problem_of_a_fresh_sample_is_named_and_mended_away(sample: Sample, taowatch: Daemon) -> None:
    findings = found(taowatch, sample.directory)
    missing = [
        (name, cell, line, reason)
        for name, cell, line, reason in EXPECTED
        if not any(
            f["file"].endswith(name) and f["cell"] == cell and f["line"] == line and reason in f["reason"]
            for f in findings
        )
    ]
    assert missing == []
    assert len(findings) == len(EXPECTED), [f["reason"] for f in findings]
    assert all(f["remedy"] for f in findings)
    said = taowatch.command("check", str(sample.directory))
    assert "yolo_v4.ipynb, cell 3, line 1: $LOCAL_SPECS_DIR" in said.stdout
    assert "use $SPECS_DIR" in said.stdout

    sample.mend()
    assert [f["reason"] for f in found(taowatch, sample.directory)] == []
    assert taowatch.command("init", str(sample.directory)).returncode == 0
    assert found(taowatch, sample.directory) == []
    assert "nothing that would fail" in taowatch.command("check", str(sample.directory)).stdout


def test_a_mounts_file_of_another_project_is_named(sample: Sample, taowatch: Daemon, home: Path) -> None:
    sample.mend()
    (home / ".tao_mounts.json").write_text(
        json.dumps({"Mounts": [{"source": str(home), "destination": "/workspace/tao-experiments"}]})
    )
    (finding,) = found(taowatch, sample.directory)
    assert "it is not this project's" in finding["reason"]
    assert taowatch.command("init", str(sample.directory)).returncode == 0
    assert taowatch.command("apply", str(sample.directory)).returncode == 0
    assert found(taowatch, sample.directory) == []


def test_inherited_values_that_disagree_are_named(sample: Sample, environment: dict[str, str]) -> None:
    sample.mend()
    shell = Daemon(environment, {"LAUNCHER_MOUNTS": "/other/mounts.json", "LOCAL_DATA_DIR": "/other"})
    reasons = [f["reason"] for f in found(shell, sample.directory)]
    assert any("LAUNCHER_MOUNTS is /other/mounts.json" in reason for reason in reasons)
    assert any("LOCAL_DATA_DIR is /other in this shell" in reason for reason in reasons)
    assert shell.command("init", str(sample.directory)).returncode == 0
    explained = shell.command("env", "--explain", str(sample.directory)).stdout
    assert "this shell has LAUNCHER_MOUNTS=/other/mounts.json" in explained


def test_what_the_launcher_refuses_is_named(sample: Sample, taowatch: Daemon) -> None:
    sample.mend()
    (sample.spec).unlink()
    sample.spec.parent.rmdir()
    reasons = [f["reason"] for f in found(taowatch, sample.directory)]
    assert any("the launcher would refuse the mapping: mount 2" in reason for reason in reasons)
    done = taowatch.command("init", str(sample.directory))
    assert done.returncode == 0
    done = taowatch.command("apply", str(sample.directory))
    assert done.returncode == 1
    assert "would refuse" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_without_anything_is_one_line(home: Path, taowatch: Daemon) -> None:
    done = taowatch.command("check", str(home))
    assert done.returncode == 1
    assert "no project at or above" in done.stderr


def test_what_a_notebook_of_the_host_layout_leaves_out_is_no_finding(home: Path, taowatch: Daemon) -> None:
    directory = home / "dino"
    for name in ("data", "results"):
        (directory / name).mkdir(parents=True)
    cell = (
        f"import os, json\nos.environ['LOCAL_PROJECT_DIR'] = {str(directory)!r}\n"
        "os.environ['HOST_DATA_DIR'] = os.path.join(os.environ['LOCAL_PROJECT_DIR'], 'data')\n"
        "os.environ['HOST_RESULTS_DIR'] = os.path.join(os.environ['LOCAL_PROJECT_DIR'], 'results')\n"
        "m = {'Mounts': [{'source': os.environ['HOST_DATA_DIR'], 'destination': '/data'},\n"
        "                {'source': os.environ['HOST_RESULTS_DIR'], 'destination': '/results'}],\n"
        "     'DockerOptions': {'user': '{}:{}'.format(os.getuid(), os.getgid())}}\n"
        "json.dump(m, open(os.path.expanduser('~/.tao_mounts.json'), 'w'))\n"
    )
    write_notebook(directory / "dino.ipynb", [cell, "%env DATA_DIR=/data\n"])
    assert [f["reason"] for f in found(taowatch, directory)] == []


def test_key_is_never_shown(sample: Sample, taowatch: Daemon) -> None:
    sample.mend()
    assert taowatch.command("init", str(sample.directory)).returncode == 0
    for words in (("check",), ("env", "--explain"), ("env",), ("env", "--json"), ("allow",)):
        assert "tlt_encode" not in taowatch.command(*words, str(sample.directory)).stdout
    assert os.environ.get("KEY") is None


LINES = {
    "tao model yolo_v4 train -r $LOCAL_DATA_DIR": 1,
    "CUDA_VISIBLE_DEVICES=0 tao model yolo_v4 train -r $LOCAL_DATA_DIR": 1,
    "tao model yolo_v4 train -r $SPECS_DIR | tee $LOCAL_DATA_DIR/log.txt": 0,
    "tao model yolo_v4 train > $LOCAL_DATA_DIR/log.txt 2>&1": 0,
    "tao model yolo_v4 train --volume $LOCAL_DATA_DIR:/d": 0,
    "tao info $LOCAL_DATA_DIR": 0,
    "ls $LOCAL_DATA_DIR": 0,
}


@pytest.fixture
def mended(home: Path) -> Path:
    directory = home / "yolo"
    for name in ("specs", "data", "yolo"):
        (directory / name).mkdir(parents=True)
    write_notebook(directory / "yolo.ipynb", mapping_cells(directory))
    return directory


@pytest.mark.parametrize("line", LINES)
def test_what_a_tao_line_gives_to_its_container(line: str, mended: Path, taowatch: Daemon) -> None:
    write_notebook(mended / "yolo.ipynb", [*mapping_cells(mended), f"!{line}\n"])
    assert len(found(taowatch, mended)) == LINES[line]


@pytest.mark.parametrize("number", ["0", "-1", "two", "\u00b2", "9" * 5000])
def test_what_is_no_number_of_gpus(number: str, mended: Path, taowatch: Daemon) -> None:
    setup, mapping = mapping_cells(mended)
    write_notebook(mended / "yolo.ipynb", [setup.replace("NUM_GPUS=1", f"NUM_GPUS={number}"), mapping])
    (finding,) = found(taowatch, mended)
    assert "NUM_GPUS" in finding["reason"]


def test_a_key_that_the_launcher_refuses_is_found_and_not_dropped(mended: Path, taowatch: Daemon) -> None:
    setup, mapping = mapping_cells(mended)
    wrong = mapping.replace('"DockerOptions"', '"Volumes": 1,\n    "DockerOptions"')
    write_notebook(mended / "yolo.ipynb", [setup, wrong])
    (finding,) = found(taowatch, mended)
    assert 'unknown key "Volumes"' in finding["reason"]


def test_a_mounts_file_that_the_launcher_refuses(mended: Path, taowatch: Daemon, home: Path) -> None:
    (home / ".tao_mounts.json").write_text("{")
    (finding,) = found(taowatch, mended)
    assert "the launcher would refuse it: not JSON" in finding["reason"]
    assert "taowatch apply" in finding["remedy"]


def test_a_token_that_is_exported_is_not_shown(mended: Path, taowatch: Daemon) -> None:
    setup, mapping = mapping_cells(mended)
    write_notebook(mended / "yolo.ipynb", [setup + "%env NGC_API_KEY=s3cret\n", mapping])
    (mended / ".taowatch.toml").write_text('export = ["NGC_API_KEY"]\n')
    taowatch.environment["NGC_API_KEY"] = "0ld-s3cret"
    done = taowatch.command("check", str(mended))
    assert "NGC_API_KEY has another value" in done.stdout
    assert "s3cret" not in done.stdout
