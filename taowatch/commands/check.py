"""`taowatch check`: everything that would fail later, before an hour is lost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from taowatch.commands.where import existing, nearest, user
from taowatch.core.check import Finding, findings
from taowatch.core.resolved import Resolved, resolve
from taowatch.core.settings import ProjectSettings
from taowatch.core.wording import printable
from taowatch.errors import FAILED, TaowatchError
from taowatch.paths import Paths
from taowatch.render import Result
from taowatch.sources.notebook_files import notebooks_of, read_facts
from taowatch.sources.projects import resolve_project
from taowatch.sources.surroundings import look_around


def check(paths: Paths, environ: Mapping[str, str], directory: Path) -> Result:
    """Exit code 1 with findings, 0 without. A directory with a notebook need not be a project yet."""
    project = _resolved(paths, directory)
    found = findings(project, look_around(paths, environ, project, user()))
    document = {"project": project.directory, "findings": [asdict(finding) for finding in found]}
    if not found:
        return Result(f"{printable(project.name)}: nothing that would fail was found.", document)
    lines = [f"{printable(project.name)}: {len(found)} finding{'s' * (len(found) > 1)}"]
    for finding in found:
        lines += ["", f"{_where(finding, project.directory)}: {finding.reason}", f"    -> {finding.remedy}"]
    return Result("\n".join(map(printable, lines)), document, FAILED)


def _resolved(paths: Paths, directory: Path) -> Resolved:
    try:
        return resolve_project(paths, nearest(directory))[0]
    except TaowatchError:
        here = existing(directory)
        notebooks = notebooks_of(here)
        if not notebooks:
            raise
        with_mapping = [
            f for n in notebooks if (f := read_facts(n, paths.home)).mapping is not None or len(notebooks) == 1
        ]
        if len(with_mapping) > 1:
            raise TaowatchError(f"{here} has several notebooks", "choose one: taowatch init NOTEBOOK") from None
        return resolve(str(here), ProjectSettings(), with_mapping[0] if with_mapping else None)


def _where(finding: Finding, directory: str) -> str:
    file = os.path.relpath(finding.file, directory) if finding.file.startswith(directory + "/") else finding.file
    cell = f", cell {finding.cell}" if finding.cell else ""
    return f"{file}{cell}" + (f", line {finding.line}" if finding.line else "")
