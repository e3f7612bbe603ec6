"""Notebooks are read as a real IPython would run them: each form of the public notebooks, and hostile ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taowatch.core.cells import BadNotebook
from taowatch.core.notebook import read_notebook
from taowatch.core.resolved import NotebookFacts
from taowatch.core.values import Host
from tests.support.kernels import MAPPING_CELL, mapping_cells

IPYTHON = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = dict(os.environ)
for cell in json.load(open(sys.argv[1])):
    shell.run_cell(cell)
    if os.path.exists(os.path.join(os.environ["HOME"], ".tao_mounts.json")):
        break
changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
for name in ("PAGER", "GIT_PAGER", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
    changed.pop(name, None)
try:
    mapping = json.load(open(os.path.join(os.environ["HOME"], ".tao_mounts.json")))
except OSError:
    mapping = None
json.dump([changed, mapping], open(sys.argv[2], "w"))
"""

DUMP = """
import json
with open(os.path.expanduser("~/.tao_mounts.json"), "w") as mfile:
    json.dump(drive_map, mfile, indent=4)
"""

SIMPLE = (
    """
drive_map = {"Mounts": [{"source": os.environ["LOCAL_PROJECT_DIR"], "destination": "/workspace/tao-experiments"}]}
"""
    + DUMP
)

# Each form is a list of cells that must leave the same variables and mapping here and in IPython.
FORMS: dict[str, list[str]] = {
    "env magics": ["%env NUM_GPUS=2\n%env  DATA_DIR = /data\n%set_env SPECS_DIR=/specs\n%env RESULTS_DIR /results\n"],
    "env magic with a comment": ["%env NUM_GPUS=1 # one is enough\n"],
    "env magic that only shows": ["%env NUM_GPUS=1\n%env NUM_GPUS\n%env\n"],
    "env magic without a name": ["%env NUM_GPUS=1\n%env NUM GPUS=2\nimport os\nos.environ['MODEL_DIR'] = 'after'"],
    "env magic with python": [
        'import os\nname = "yolo"\n%env USER_EXPERIMENT_DIR=/workspace/{name}/$name/{name.upper()}\n'
    ],
    "env magic with the environment": [
        "import os\n%env DATA_DIR=/data\n%env SPECS_DIR={os.environ['DATA_DIR']}/specs\n"
    ],
    "env magic with something unknown": ["%env DATA_DIR=$HOME/{nothing}/data\n"],
    "two dollars": ["x = 1\n%env DATA_DIR=/a/$$x/$x\n"],
    "automagic": ["env NUM_GPUS=3\n"],
    "cell magics": [
        "%%capture\nimport os\nos.environ['NUM_GPUS'] = '4'\n",
        "%%bash\nexport NUM_GPUS=5\n",
        "%%time\n%env DATA_DIR=/d\n",
    ],
    "assignments": [
        "import os\nos.environ['DATA_DIR'] = '/data'\nos.environ['SPECS_DIR'] = os.environ['DATA_DIR'] + '/s'\n"
    ],
    "setdefault and update": [
        "import os\nos.environ.setdefault('NUM_GPUS', '7')\nos.environ.setdefault('NUM_GPUS', '8')\n"
        "os.environ.update({'DATA_DIR': '/d'}, SPECS_DIR='/s')\nos.environ.update([('MODEL_DIR', '/m')])\n"
    ],
    "getenv": [
        "import os\nroot = os.getenv('NOTEBOOK_ROOT', os.getcwd())\nos.environ['LOCAL_SPECS_DIR'] = os.path.join(root, 'specs')\n"
        "os.environ['HOST_DATA_DIR'] = os.environ.get('NOT_THERE', default='/x') if False else os.environ.get('NOT_THERE', '/y')\n"
    ],
    "paths": [
        "import os\nfrom os.path import join as j, dirname\nimport os.path as osp\n"
        "os.environ['HOST_DATA_DIR'] = j(os.path.expanduser('~'), 'data', '..', 'd')\n"
        "os.environ['HOST_SPECS_DIR'] = osp.abspath('specs')\nos.environ['HOST_MODEL_DIR'] = dirname(os.path.abspath('a/b'))\n"
        "os.environ['RESULTS_DIR'] = os.path.realpath('.')\n"
    ],
    "pathlib": [
        "import os\nfrom pathlib import Path\nroot = Path.home() / 'tao'\nos.environ['HOST_DATA_DIR'] = str(root / 'data')\n"
        "os.environ['HOST_SPECS_DIR'] = str(Path('~/specs').expanduser())\nos.environ['HOST_MODEL_DIR'] = f'{root.parent}/m'\n"
        "os.environ['RESULTS_DIR'] = root.joinpath('r').as_posix()\n"
    ],
    "strings": [
        "import os\nn = 'yolo_v4'\nos.environ['DATA_DIR'] = f'/data/{n}/{1 + 1}/{n!r}/{3:03d}'\n"
        "os.environ['SPECS_DIR'] = '/specs/{}/{x}'.format(n, x=2)\nos.environ['MODEL_DIR'] = '%s/%d' % (n, 5)\n"
        "os.environ['RESULTS_DIR'] = '/'.join(['', 'a', n.replace('_', '-')])\nos.environ['NUM_GPUS'] = str(len(n) - 6)\n"
    ],
    "users": ["import os\nos.environ['DATA_DIR'] = '{}:{}'.format(os.getuid(), os.getgid())\n"],
    "conditions": [
        "import os\nlocal = True\nif local:\n    os.environ['DATA_DIR'] = '/a'\nelse:\n    os.environ['DATA_DIR'] = '/b'\n"
        "if not os.path.exists('/nowhere'):\n    os.environ['SPECS_DIR'] = '/s'\n"
        "os.environ['MODEL_DIR'] = '/m' if 'x' in 'xyz' and not None else '/n'\n"
        "if 'DATA_DIR' in os.environ:\n    os.environ['RESULTS_DIR'] = os.environ.pop('DATA_DIR')\n"
    ],
    "loops": [
        "import os\nfor name, value in {'DATA_DIR': '/d', 'SPECS_DIR': '/s'}.items():\n    os.environ[name] = value\n"
        "for n in range(5):\n    if n == 1:\n        continue\n    if n == 3:\n        break\n    os.environ['NUM_GPUS'] = str(n)\n"
        "os.environ['MODEL_DIR'] = ','.join(x.upper() for x in ['a', 'b'] if x != 'a')\n"
    ],
    "a cell that fails": [
        "import os\nos.environ['DATA_DIR'] = '/d'\nos.environ['NUM_GPUS'] = 1\nos.environ['SPECS_DIR'] = '/s'\n",
        "%env MODEL_DIR=/m\n",
    ],
    "a cell that is no Python": [
        "import os\nos.environ['DATA_DIR'] = '/d'\nthis is not python\n",
        "%env MODEL_DIR=/m\n",
    ],
    "try": [
        "import os\ntry:\n    os.environ['DATA_DIR'] = os.environ['SPECS_DIR']\nexcept KeyError as e:\n    os.environ['DATA_DIR'] = '/d'\n"
        "finally:\n    os.environ['MODEL_DIR'] = '/m'\n"
    ],
    "delete": [
        "import os\nos.environ['DATA_DIR'] = '/d'\nos.environ['SPECS_DIR'] = '/s'\ndel os.environ['DATA_DIR']\n"
    ],
    "cd": [
        "%cd ~\nimport os\nos.environ['HOST_DATA_DIR'] = os.getcwd()\n",
        "os.makedirs('new/er', exist_ok=True)\n%cd new\nos.environ['HOST_SPECS_DIR'] = os.getcwd()\n",
    ],
    "shell lines": [
        "!mkdir -p somewhere\nfiles = !ls\n%env NUM_GPUS=1\n!echo $NUM_GPUS \\\n  and more\n%matplotlib inline\n"
    ],
    "help": ["?str\nstr?\n%env NUM_GPUS=1\n"],
    "magic in a string": ["text = '''\n%env NUM_GPUS=9\n!ls\n'''\n%env DATA_DIR=/d\n"],
    "magic in an if": ["if True:\n    %env NUM_GPUS=2\n"],
    "multi-line values": [
        "import os\nos.environ['DATA_DIR'] = (\n    '/a'\n    '/b'\n)\nos.environ['SPECS_DIR'] = '/a' + \\\n  '/b'\n"
    ],
    "Chinese and spaces": [
        "import os\nos.environ['HOST_DATA_DIR'] = '/home/用户/我的 数据/$x'\n%env HOST_SPECS_DIR=/home/用户/规格 1\n"
    ],
    "the article's": mapping_cells(Path("/data/tao/yolo v4"), "yolo_v4"),
    "in steps": [
        "import os\n%env LOCAL_PROJECT_DIR=/data/p\n",
        "drive_map = {}\ndrive_map['Mounts'] = []\nfor s, d in (('/a', '/data'), ('/b', '/specs')):\n"
        "    drive_map['Mounts'].append({'source': s, 'destination': d})\n"
        "drive_map['DockerOptions'] = dict(shm_size='16G', ulimits={'memlock': -1, 'stack': 67108864})\n"
        "mounts = drive_map['Mounts']\nmounts += [{'source': os.path.expanduser('~/.cache'), 'destination': '/.cache'}]\n"
        "if os.getenv('WANDB_API_KEY') is not None:\n    drive_map['Envs'] = [{'variable': 'WANDB_API_KEY', 'value': '1'}]\n"
        + DUMP,
    ],
    "dumps and write": [
        "import os, json\n%env LOCAL_PROJECT_DIR=/data/p\n",
        "m = {'Mounts': [{'source': os.environ['LOCAL_PROJECT_DIR'], 'destination': '/w'}]}\n"
        "f = open(os.path.join(os.path.expanduser('~'), '.tao_mounts.json'), mode='w')\nf.write(json.dumps(m, indent=2))\nf.close()\n",
    ],
    "write_text": [
        "import json\nfrom pathlib import Path\n(Path.home() / '.tao_mounts.json').write_text(json.dumps({'Mounts': []}))\n"
    ],
    "what comes after the mapping": [
        "import os\n%env LOCAL_PROJECT_DIR=/p\n",
        SIMPLE,
        "%env LOCAL_PROJECT_DIR=/other\n",
    ],
    "another file": [
        "import os, json\n%env LOCAL_PROJECT_DIR=/p\nwith open('other.json', 'w') as f:\n    json.dump({'Mounts': [1]}, f)\n",
        SIMPLE,
    ],
}


def notebook(cells: list[str], form: int = 4) -> bytes:
    if form == 4:
        made: list[dict[str, Any]] = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
        return json.dumps({"nbformat": 4, "cells": made}).encode()
    made = [{"cell_type": "code", "input": cell} for cell in cells]
    return json.dumps({"nbformat": 3, "worksheets": [{"cells": made}]}).encode()


def read(cells: list[str], directory: Path, home: Path, form: int = 4) -> NotebookFacts:
    host = Host(str(home), str(directory), os.getuid(), os.getgid(), {}, os.path.exists, os.path.realpath)
    return read_notebook(str(directory / "n.ipynb"), notebook(cells, form), host)


@pytest.mark.parametrize("form", FORMS)
def test_it_reads_what_ipython_runs(form: str, home: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    directory = tmp_path / "my project"
    directory.mkdir()
    facts = read(FORMS[form], directory, home)
    cells, result = tmp_path / "cells.json", tmp_path / "result.json"
    cells.write_text(json.dumps(FORMS[form]))
    done = subprocess.run(
        [sys.executable, "-c", IPYTHON, cells, result], cwd=directory, env=environment, capture_output=True, text=True
    )
    assert result.exists(), done.stderr
    variables, mapping = json.loads(result.read_text())
    assert dict(facts.variables) == variables
    assert facts.mapping == mapping


def test_warnings_about_somebodys_code_are_not_ours(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    facts = read(
        ["import os\nos.environ['DATA_DIR'] = '\\d'\nx = 1if 1else 2\n%env SPECS_DIR={1if 1else 2}\n"],
        tmp_path,
        tmp_path,
    )
    assert facts.variables == {"DATA_DIR": "\\d", "SPECS_DIR": "1"}
    assert list(recwarn) == []


def test_format_3_is_read_alike(tmp_path: Path) -> None:
    cells = FORMS["the article's"]
    assert read(cells, tmp_path, tmp_path, form=3).variables == read(cells, tmp_path, tmp_path).variables


PLACEHOLDERS = [
    "FIXME",
    "'FIXME'",
    "'/path/to/local/tao-experiments'",
    "'/raid/path/to/x'",
    "'YOUR_LOCAL_PROJECT_DIR_PATH'",
]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_is_filled_by_the_articles_rule(placeholder: str, tmp_path: Path) -> None:
    cells = [
        f"import os\nos.environ['LOCAL_PROJECT_DIR'] = {placeholder}\n"
        "os.environ['LOCAL_DATA_DIR'] = os.path.join(os.environ['LOCAL_PROJECT_DIR'], 'data')\n",
        SIMPLE,
    ]
    facts = read(cells, tmp_path, tmp_path)
    assert facts.variables["LOCAL_PROJECT_DIR"] == str(tmp_path)
    assert facts.variables["LOCAL_DATA_DIR"] == f"{tmp_path}/data"
    assert facts.mapping is not None
    assert facts.mapping["Mounts"][0]["source"] == str(tmp_path)
    (problem,) = facts.problems
    assert problem.placeholder
    assert (problem.place and problem.place.cell, problem.place and problem.place.line) == (1, 2)


def test_a_magic_placeholder_too(tmp_path: Path) -> None:
    facts = read(["%env LOCAL_PROJECT_DIR=FIXME\n%env KEY=YOUR_KEY\n"], tmp_path, tmp_path)
    assert facts.variables == {"LOCAL_PROJECT_DIR": str(tmp_path)}
    assert [problem.placeholder for problem in facts.problems] == [True, True]


UNKNOWN = {
    "a shell's output": "x = !pwd\nimport os\nos.environ['DATA_DIR'] = x[0]\n",
    "a call": "import os, subprocess\nos.environ['DATA_DIR'] = subprocess.check_output('pwd').decode()\n",
    "a condition": "import os, torch\nif torch.cuda.is_available():\n    os.environ['DATA_DIR'] = '/a'\n",
    "a function": "import os\ndef f():\n    os.environ['DATA_DIR'] = '/a'\nf()\n",
    "a session's variable": "import os\nos.environ['DATA_DIR'] = os.environ['USER']\n",
    "while": "import os\nwhile True:\n    os.environ['DATA_DIR'] = '/a'\n    break\n",
}


@pytest.mark.parametrize("form", UNKNOWN)
def test_what_cannot_be_known_is_said_and_not_guessed(form: str, tmp_path: Path) -> None:
    facts = read(["%env DATA_DIR=/before\n", UNKNOWN[form]], tmp_path, tmp_path)
    assert "DATA_DIR" not in facts.variables
    assert any("DATA_DIR cannot be known" in problem.text for problem in facts.problems)


HOSTILE = {
    "system": "import os\nos.system('touch pwned')\n",
    "exec": "exec('open(\"pwned\", \"w\")')\neval('1')\n__import__('os').system('touch pwned')\n",
    "open": "open('pwned', 'w').write('x')\n",
    "shell": "!touch pwned\n%run x.py\n%%bash\ntouch pwned\n",
    "a billion": "x = 'a' * 10**12\ny = f'{1:>9999999999}'\nz = '%99999999d' % 1\nw = [0] * 10**12\n",
    "laughs": "a = ['x'] * 1000\nb = [a] * 1000\nc = [b] * 1000\nd = str(c)\n",
    "doubling": "s = 'x' * 1000\n" + "s = s + s\n" * 100,
    "power": "x = 10 ** 10 ** 10\n",
    "endless": "for a in range(9999):\n    for b in range(9999):\n        x = 1\n",
    "brackets": "x = " + "(" * 5000 + ")" * 5000,
    "nested": "x = " + "[" * 90 + "]" * 90,
    "unary": "x = " + "-" * 5000 + "1",
    "format attack": "x = '{0.__class__.__mro__}'.format('')\n%env DATA_DIR={().__class__.__bases__}\n",
    "surrogates": "%env DATA_DIR=\\ud800\nx = '\\ud800'\n",
    "zero byte": "x = '\0'\n",
    "number": "x = " + "9" * 9000 + "\n",
    "self reference": "a = []\na.append(a)\nimport os, json\nos.environ['DATA_DIR'] = str(a)\nprint(json.dumps(a))\n",
}


@pytest.mark.parametrize("form", HOSTILE)
def test_hostile_cells_do_nothing_and_take_no_time(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "empty"
    directory.mkdir()
    monkeypatch.chdir(directory)
    started = time.process_time()
    read([HOSTILE[form], "%env NUM_GPUS=1\n"], directory, directory)
    assert time.process_time() - started < 1
    assert list(directory.iterdir()) == []


def test_a_huge_notebook_with_outputs_is_read(tmp_path: Path) -> None:
    output = {"output_type": "display_data", "data": {"image/png": "A" * 1_000_000}}
    cells = [{"cell_type": "code", "source": cell, "outputs": []} for cell in FORMS["the article's"]]
    more = [{"cell_type": "code", "source": "show()", "outputs": [output]} for _ in range(50)]
    content = json.dumps({"nbformat": 4, "cells": [*cells, *more]}).encode()
    assert len(content) > 50_000_000
    facts = read_notebook("n.ipynb", content, Host(str(tmp_path), str(tmp_path), 0, 0))
    assert facts.variables["NUM_GPUS"] == "1"


BAD = [b"", b"{", b"[]", b'{"cells": 3}', b"\xff\xfe", b'{"cells": [', b"[" * 100_000, b"1" * 5000]


@pytest.mark.parametrize("content", BAD, ids=[str(number) for number in range(len(BAD))])
def test_what_is_no_notebook_is_said_in_one_line(content: bytes) -> None:
    with pytest.raises(BadNotebook) as caught:
        read_notebook("n.ipynb", content, Host("/h", "/h", 0, 0))
    assert "\n" not in str(caught.value)


_FRAGMENTS = [
    "os.environ['DATA_DIR']", "=", "'x'", "(", ")", "[", "]", "{", "}", "%env A=", "!ls", "\n", "if x:\n  ", "for a in b:\n  ",
    "f'{x}'", "import os\n", "os.path.join(", "lambda: ", "x", "*", "**", ",", ":", "def f():\n  ", "return 1\n", "'''", '"',
    "%%capture\n", "\\\n", "?", "with open('a', 'w') as f:\n  ", "json.dump(x, f)\n", "range(9999)", ".append(x)", "+=", "-",
    "os.environ.update(", "x.update(x)\n", "x = [x]\n", "x = {'a': x}\n", "'{}'.format(", "%", "while 1:\n  ", "del x\n", "$x",
]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(_FRAGMENTS), st.text(max_size=5)), max_size=60).map("".join))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_input_raises_or_takes_long(source: str) -> None:
    started = time.process_time()
    read_notebook("n.ipynb", notebook([MAPPING_CELL, source, source]), Host("/h", "/h", 0, 0))
    read_notebook("n.ipynb", notebook([source, "%env DATA_DIR={x}$x\n"]), Host("/h", "/h", 0, 0))
    assert time.process_time() - started < 2
