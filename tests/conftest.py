"""Fixtures for real parts. Each starts one on demand, and ends only what it started."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import components
from tests.support.commands import Taowatch
from tests.support.daemon import Daemon
from tests.support.desktop import NotificationServer, SessionBus
from tests.support.engine import Engine, PrivateEngine, shared_engine
from tests.support.kernels import NotebookKernel
from tests.support.launcher import Launcher
from tests.support.sandbox import Sandbox, kept_environment, real_homes, stamps_of, touched
from tests.support.terminal import SHELLS, Terminal


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(*components): real parts without which the test cannot run")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("requires"):
        components.requires(*marker.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Whatever was not run is said, with the reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("Left out")
        for reason, number in sorted(reasons.items()):
            terminalreporter.write_line(f"{number} test{'s' if number > 1 else ''}: {reason}")


# --- the sandbox ----------------------------------------------------------------------------------


def _replace_environment(patch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in set(os.environ) - set(variables) - {"PYTEST_CURRENT_TEST"}:
        patch.delenv(name)
    for name, value in variables.items():
        patch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def _guarded_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No part of the run sees the real home; and if somebody changed it all the same, the run fails."""
    before = stamps_of(real_homes())
    home = tmp_path_factory.mktemp("session")
    with pytest.MonkeyPatch.context() as patch:
        _replace_environment(patch, {**kept_environment(os.environ), "HOME": str(home)})
        yield home
    assert not (changed := touched(before)), f"files of the real home changed during the tests: {changed}"


@pytest.fixture(autouse=True)
def sandbox(_guarded_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A home of its own for every test."""
    runtime = Path(tempfile.mkdtemp(prefix="tw-"))
    made = Sandbox(tmp_path / "home", runtime).make()
    _replace_environment(monkeypatch, {**kept_environment(os.environ), **made.variables})
    assert Path.home() == made.home
    yield made
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def home(sandbox: Sandbox) -> Path:
    return sandbox.home


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    """The sandbox's environment as a value; fixtures such as `bus` add their addresses to it."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def taowatch(environment: dict[str, str]) -> Taowatch:
    """`taowatch("check", directory)`: the command, with no engine to ask."""
    return Taowatch({**environment, "DOCKER_HOST": "unix:///nonexistent"})


@pytest.fixture
def requires() -> Callable[..., None]:
    return components.requires


# --- the engine and the launcher ------------------------------------------------------------------


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """The engine on the default socket, with the stand-in images in it."""
    components.requires("docker")
    with shared_engine() as engine:
        yield engine


@pytest.fixture
def private_engine() -> Iterator[PrivateEngine]:
    """An engine on its own socket that a test may stop and restart."""
    components.requires("private-docker")
    engine = PrivateEngine()
    engine.start()
    yield engine
    engine.remove()


@pytest.fixture
def other_container() -> Iterator[Callable[..., str]]:
    """`other_container(engine, binds={...})`: a container run by hand, removed afterwards."""
    started: list[tuple[Engine, str]] = []

    def run(engine: Engine, **options: object) -> str:
        container = engine.run(**options)  # type: ignore[arg-type]
        started.append((engine, container))
        return container

    yield run
    for engine, container in started:
        if components.answers(engine.socket):
            engine.remove_container(container)


@pytest.fixture
def launcher(docker_engine: Engine, environment: dict[str, str]) -> Iterator[Callable[..., Launcher]]:
    """`launcher("model", "dino", "train", cwd=..., **more_environment)`: a started `tao`."""
    components.requires("launcher")
    started: list[Launcher] = []

    def start(*arguments: str, cwd: Path | None = None, through: Sequence[str] = (), **more: str) -> Launcher:
        started.append(Launcher({**environment, **more}, docker_engine))
        return started[-1].start(*arguments, cwd=cwd, through=through)

    yield start
    for each in started:
        each.stop()


# --- notebooks, desktop, shells, daemon -----------------------------------------------------------


@pytest.fixture
def kernel(environment: dict[str, str]) -> Iterator[Callable[..., NotebookKernel]]:
    """`kernel(notebook_path, **more_environment)`: a real kernel, as Jupyter would start it."""
    started: list[NotebookKernel] = []

    def start(notebook: Path, **more: str) -> NotebookKernel:
        started.append(NotebookKernel(notebook, {**environment, **more}))
        return started[-1]

    yield start
    for each in started:
        each.shutdown()


@pytest.fixture
def bus(sandbox: Sandbox, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionBus]:
    """A session bus with nobody on it; its address stands in `environment`."""
    components.requires("dbus")
    made = SessionBus(sandbox.runtime / "bus")
    made.start()
    environment["DBUS_SESSION_BUS_ADDRESS"] = made.address
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", made.address)
    yield made
    made.stop()


@pytest.fixture
def notifications(bus: SessionBus) -> Iterator[NotificationServer]:
    """A notification server that remembers what it was asked to show."""
    server = NotificationServer(bus.address)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """`terminal("bash", rcfile_text="...", cwd=..., **more_environment)`: a real interactive shell."""
    opened: list[Terminal] = []

    def open_one(shell: str = "bash", rcfile_text: str = "", cwd: Path | None = None, **more: str) -> Terminal:
        components.requires(shell)
        folder = tmp_path / f"terminal-{len(opened)}"
        folder.mkdir()
        opened.append(SHELLS[shell]({**environment, **more}, rcfile_text, cwd or tmp_path, folder))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def daemon(environment: dict[str, str]) -> Iterator[Callable[..., Daemon]]:
    """`daemon(**more_environment)`: the real daemon, ready. Its log may hold no traceback."""
    started: list[Daemon] = []

    def start(**more: str) -> Daemon:
        started.append(Daemon(environment, more))
        return started[-1].start()

    yield start
    for each in started:
        each.stop()
    for each in started:
        assert "Traceback (most recent call last)" not in each.log, each.log
