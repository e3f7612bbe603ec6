"""The list of projects and their `.taowatch.toml` -> ProjectsRead, when one changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from taowatch.core.events import Event, ProjectsRead
from taowatch.core.model import Project
from taowatch.paths import Paths
from taowatch.sources.directories import Directories
from taowatch.sources.projects import FILE, read_projects
from taowatch.sources.reading import nearest_existing

log = logging.getLogger(__name__)


class ProjectsSource:
    """Watches which directories are projects, and what makes them so. One thread for any number of them."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths = paths
        self._emit = emit
        self._directories = Directories(self._hint)
        self._loop = asyncio.get_running_loop()
        self._hinted = False
        self._lists = {str(paths.projects), str(paths.launcher_mounts(paths.home).parent)}
        self._told: tuple[Project, ...] | None = None

    def start(self) -> None:
        """Begin to watch, then read once."""
        self._directories.start()
        self.look_again()

    def stop(self) -> None:
        self._directories.stop()

    def is_alive(self) -> bool:
        return self._directories.is_alive()

    def look_again(self) -> None:
        """Read all projects; they are told where something changed."""
        self._hinted = False
        self._arm(self._told or ())
        projects = read_projects(self._paths)
        self._arm(projects)
        if projects != self._told:
            self._told = projects
            self._emit(ProjectsRead(projects))

    def _arm(self, projects: tuple[Project, ...]) -> None:
        lists = {nearest_existing(directory) for directory in self._lists}
        for problem in self._directories.watch(sorted(lists | {project.directory for project in projects})):
            log.warning("not watched: %s", problem)

    def _hint(self, directory: str, name: str, finished: bool) -> None:
        # In a project directory lie data, results and notebooks as well; only one file of it makes the project.
        if name not in ("", FILE) and directory not in self._lists and not self._leads_to_a_list(directory, name):
            return
        if not self._hinted:
            self._hinted = True
            self._loop.call_soon_threadsafe(self.look_again)

    def _leads_to_a_list(self, directory: str, name: str) -> bool:
        step = f"{directory.rstrip('/')}/{name}"
        return any(wanted == step or wanted.startswith(f"{step}/") for wanted in self._lists)
