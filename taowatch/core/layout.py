"""The layouts of the notebooks as a table: which variables there are, on which side, and the rule of each."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

HOST, CONTAINER, BOTH = "host", "container", "both"
LOCAL = "local"
HOST_LAYOUT = "host"


@dataclass(frozen=True)
class Rule:
    """How a variable follows from the project's directory and name, as a template."""

    name: str
    side: str
    template: str


@dataclass(frozen=True)
class Layout:
    """A family of variable names, with the mounts that its notebooks write."""

    name: str
    rules: tuple[Rule, ...]
    mounts: tuple[tuple[str, str], ...]
    """(source template, destination template)."""


@dataclass(frozen=True)
class Variable:
    """One variable of a project. `origin` is `notebook`, `rule`, `config` or `default`."""

    name: str
    value: str
    side: str
    origin: str


LAYOUTS: Mapping[str, Layout] = {
    # The article's table: seven follow from LOCAL_PROJECT_DIR, the directory of the notebook.
    LOCAL: Layout(
        LOCAL,
        (
            Rule("LOCAL_PROJECT_DIR", HOST, "{directory}"),
            Rule("LOCAL_EXPERIMENT_DIR", HOST, "{LOCAL_PROJECT_DIR}/{project}"),
            Rule("LOCAL_DATA_DIR", HOST, "{LOCAL_PROJECT_DIR}/data"),
            Rule("LOCAL_SPECS_DIR", HOST, "{directory}/specs"),
            Rule("USER_EXPERIMENT_DIR", CONTAINER, "/workspace/tao-experiments/{project}"),
            Rule("DATA_DOWNLOAD_DIR", CONTAINER, "/workspace/tao-experiments/data"),
            Rule("SPECS_DIR", CONTAINER, "/workspace/tao-experiments/{project}/specs"),
        ),
        (("{LOCAL_PROJECT_DIR}", "/workspace/tao-experiments"), ("{LOCAL_SPECS_DIR}", "{SPECS_DIR}")),
    ),
    # launcher-facts: the newer notebooks; the container's names are set in a later cell of theirs.
    HOST_LAYOUT: Layout(
        HOST_LAYOUT,
        (
            Rule("LOCAL_PROJECT_DIR", HOST, "{directory}"),
            Rule("HOST_DATA_DIR", HOST, "{LOCAL_PROJECT_DIR}/data"),
            Rule("HOST_SPECS_DIR", HOST, "{directory}/specs"),
            Rule("HOST_RESULTS_DIR", HOST, "{LOCAL_PROJECT_DIR}/results"),
            Rule("HOST_MODEL_DIR", HOST, "{LOCAL_PROJECT_DIR}/model"),
            Rule("DATA_DIR", CONTAINER, "/data"),
            Rule("SPECS_DIR", CONTAINER, "/specs"),
            Rule("RESULTS_DIR", CONTAINER, "/results"),
            Rule("MODEL_DIR", CONTAINER, "/model"),
        ),
        (
            ("{LOCAL_PROJECT_DIR}", "/workspace/tao-experiments"),
            ("{HOST_DATA_DIR}", "{DATA_DIR}"),
            ("{HOST_SPECS_DIR}", "{SPECS_DIR}"),
            ("{HOST_RESULTS_DIR}", "{RESULTS_DIR}"),
            ("{HOST_MODEL_DIR}", "{MODEL_DIR}"),
        ),
    ),
}


def variables(
    layout: str, directory: str, project: str, given: Mapping[str, tuple[str, str]] | None = None
) -> tuple[Variable, ...]:
    """The variables of a project; `given` holds (value, origin) of those that need no rule."""
    given = given or {}
    words = {"directory": directory, "project": project}
    found = [Variable("NUM_GPUS", *_given_or(given, "NUM_GPUS", "1", "default"))]
    for rule in LAYOUTS[layout].rules:
        value, origin = given.get(rule.name) or (_fill(rule.template, words), "rule")
        words[rule.name] = value
        found.append(Variable(rule.name, value, rule.side, origin))
    return tuple(found)


def mounts(layout: str, known: tuple[Variable, ...]) -> tuple[tuple[str, str], ...]:
    """(source, destination) of the mapping that a notebook of this layout writes."""
    words = {variable.name: variable.value for variable in known}
    return tuple((_fill(s, words), _fill(d, words)) for s, d in LAYOUTS[layout].mounts)


def default_name(directory: str) -> str:
    """The project's name where nobody gave one: that of its directory."""
    return posixpath.basename(directory.rstrip("/")) or "project"


def _given_or(given: Mapping[str, tuple[str, str]], name: str, value: str, origin: str) -> tuple[str, str, str]:
    known = given.get(name)
    return (known[0], BOTH, known[1]) if known else (value, BOTH, origin)


def _fill(template: str, words: Mapping[str, str]) -> str:
    # In one pass, and not str.format: a directory may be called {project}, and only our own templates are templates.
    return re.sub(r"{(\w+)}", lambda found: words.get(found[1], found[0]), template)
