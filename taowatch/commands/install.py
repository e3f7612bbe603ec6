"""`taowatch install` and `uninstall`: the service and the hook, as a plan that is shown or carried out."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taowatch import __version__
from taowatch.commands.changes import (
    FileChange,
    Plan,
    RemoveTree,
    Run,
    Start,
    Step,
    Stop,
    carry_out,
    describe,
    read_text,
)
from taowatch.commands.hook import SHELLS
from taowatch.commands.status import snapshot
from taowatch.core import setup
from taowatch.errors import FAILED, TaowatchError
from taowatch.lock import is_held
from taowatch.paths import Paths
from taowatch.render import Result

UNIT = "taowatch.service"
_PASSED_ON = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
_PASSED_ON_PATHS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")
_LINGER = (
    "The service ends with your last session. To let it watch a training while you are logged out: "
    "loginctl enable-linger (taowatch never does that by itself)."
)


@dataclass(frozen=True)
class Machine:
    """What the plans depend on."""

    paths: Paths
    config: Path
    """$XDG_CONFIG_HOME"""
    command: tuple[str, ...]
    shells: Mapping[str, Path]
    """Shells in use, and the startup file of each."""
    environment: Mapping[str, str]
    """Variables that decide what the daemon sees, and that no service inherits from a shell."""
    manager: bool
    """Whether a systemd user manager runs."""
    enabled: bool = False
    active: bool = False
    current: bool = False
    """Whether the daemon that runs is of this version."""

    @property
    def unit(self) -> Path:
        return self.config / "systemd/user" / UNIT

    @property
    def autostart(self) -> Path:
        return self.config / "autostart/taowatch.desktop"


def install(paths: Paths, environ: Mapping[str, str], dry_run: bool = False) -> Result:
    """Service and hook. Exit 1 where a part of it did not work."""
    _refuse_borrowed(environ)
    plan = installation(look(paths, environ))
    return _result(plan, dry_run, "taowatch is installed. Open a new shell, or: exec $SHELL", "Everything is in place.")


def uninstall(paths: Paths, environ: Mapping[str, str], dry_run: bool = False, purge: bool = False) -> Result:
    """Take it all back; with `purge` also revisions, allowed projects and configuration."""
    plan = removal(look(paths, environ), purge)
    kept = "" if purge or not paths.state.exists() else f" What it knows stays in {paths.state} (--purge removes it)."
    return _result(plan, dry_run, f"taowatch is uninstalled.{kept}", f"Nothing is installed.{kept}")


def detached(paths: Paths) -> Result:
    """Start the daemon in the background, if none runs yet; for sessions without a service manager."""
    if not is_held(paths.lock):
        problems = carry_out(Plan((Start((*program(), "daemon"), paths.lock),)))
        if problems:
            raise TaowatchError(problems[0])
    return Result("")


def look(paths: Paths, environ: Mapping[str, str]) -> Machine:
    """This machine, as far as the plans ask."""
    config = paths.config.parent
    manager = has_manager(environ)
    document = snapshot(paths) or {"daemon": {}}
    return Machine(
        paths=paths,
        config=config,
        command=program(),
        shells=shells_in_use(paths.home, config, environ),
        environment=_environment(environ),
        manager=manager,
        enabled=manager and _systemctl("is-enabled") == "enabled",
        active=manager and _systemctl("is-active") == "active",
        current=document["daemon"].get("taowatch") == __version__,
    )


def installation(machine: Machine) -> Plan:
    """What is missing for an installation; no steps where all is in place."""
    notes: list[str] = []
    steps: list[Step] = [*_hooks(machine, notes)]
    steps += _service(machine, notes) if machine.manager else _without_manager(machine, notes)
    return Plan(tuple(steps), tuple(notes))


def removal(machine: Machine, purge: bool = False) -> Plan:
    """What takes an installation back."""
    notes: list[str] = []
    steps: list[Step] = []
    unit = read_text(machine.unit)
    ours = unit is not None and setup.whose_file(unit) != setup.THEIRS
    if machine.manager and ours:
        steps.append(Run(("systemctl", "--user", "disable", "--now", UNIT)))
    if is_held(machine.paths.lock) and not (ours and machine.active):
        steps.append(Stop(machine.paths.lock))
    if ours:
        steps += [] if machine.manager else _link_gone(machine)
        steps.append(FileChange(machine.unit, unit, None, removes=machine.config))
    elif unit is not None:
        notes.append(f"{machine.unit} was not written by taowatch and stays; it would start what is gone.")
    if machine.manager and ours:
        steps.append(Run(("systemctl", "--user", "daemon-reload")))
        steps.append(Run(("systemctl", "--user", "reset-failed", UNIT), may_fail=True))
    steps += _own_file_gone(machine.autostart, machine, notes)
    steps += _hooks_gone(machine, notes)
    trees = [machine.paths.runtime, *([machine.paths.state, machine.paths.config] if purge else [])]
    steps += [RemoveTree(tree) for tree in trees if tree.exists() or _will_be_there(tree, machine)]
    return Plan(tuple(steps), tuple(notes))


def program() -> tuple[str, ...]:
    """The command that starts this very taowatch, absolute: no service finds what a shell's PATH finds."""
    beside = Path(sys.executable).parent / "taowatch"
    called = Path(os.path.abspath(sys.argv[0]))
    for candidate in (beside, called):
        if candidate.name == "taowatch" and os.access(candidate, os.X_OK) and candidate.is_file():
            return (str(candidate),)
    return (sys.executable, "-m", "taowatch")


def has_manager(environ: Mapping[str, str]) -> bool:
    """Whether `systemctl --user` would find somebody."""
    directory = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(2)
        try:
            attempt.connect(f"{directory}/systemd/private")  # a manager that ended leaves its socket behind
        except OSError:
            return False
    return shutil.which("systemctl") is not None


def shells_in_use(home: Path, config: Path, environ: Mapping[str, str]) -> dict[str, Path]:
    """The shells that have a startup file here, or are the login shell; and for which there is a hook."""
    files = {
        "bash": home / ".bashrc",
        "zsh": Path(environ.get("ZDOTDIR") or home) / ".zshrc",
        "fish": config / "fish/conf.d/taowatch.fish",
    }
    used = {"bash": files["bash"], "zsh": files["zsh"], "fish": config / "fish"}
    login = os.path.basename(environ.get("SHELL") or _login_shell())
    return {shell: files[shell] for shell in SHELLS if shell in files and (shell == login or used[shell].exists())}


def _hooks(machine: Machine, notes: list[str]) -> list[Step]:
    steps: list[Step] = []
    for shell, path in machine.shells.items():
        before = read_text(path)
        lines = setup.hook_lines(shell, machine.command, start=not machine.manager)
        whose = setup.whose_block(before or "")
        if whose == setup.CHANGED:
            notes.append(f"{path}: the lines of taowatch were changed by hand and stay as they are.")
        elif whose == setup.THEIRS:
            notes.append(f"{path} has a hook line of yours already; it stays as it is.")
        after = setup.with_block(before or "", lines) if whose != setup.THEIRS else before
        if after != before:
            steps.append(FileChange(path, before, after))
    return steps


def _service(machine: Machine, notes: list[str]) -> list[Step]:
    template = (Path(__file__).parent.parent / "systemd" / UNIT).read_text()
    before, after = read_text(machine.unit), setup.unit(template, machine.command, machine.environment)
    steps: list[Step] = []
    whose = setup.whose_file(before) if before is not None else setup.OURS
    if whose != setup.OURS:
        notes.append(f"{machine.unit} is {whose} and stays as it is.")
    elif before != after:
        steps += [FileChange(machine.unit, before, after), Run(("systemctl", "--user", "daemon-reload"))]
    if not machine.enabled:
        steps.append(Run(("systemctl", "--user", "enable", UNIT)))
    if not machine.active and is_held(machine.paths.lock):
        steps.append(Stop(machine.paths.lock))  # one that was started by hand makes room for the service
    if steps or not machine.active or not machine.current:
        steps.append(Run(("systemctl", "--user", "restart", UNIT)))
    steps += _own_file_gone(machine.autostart, machine, notes)
    notes.append(_LINGER)
    return steps


def _without_manager(machine: Machine, notes: list[str]) -> list[Step]:
    before, after = read_text(machine.autostart), setup.autostart_entry(machine.command)
    steps: list[Step] = []
    if before is not None and setup.whose_file(before) != setup.OURS:
        notes.append(f"{machine.autostart} is {setup.whose_file(before)} and stays as it is.")
    elif before != after:
        steps.append(FileChange(machine.autostart, before, after))
    held = is_held(machine.paths.lock)
    if held and not machine.current:
        steps.append(Stop(machine.paths.lock))
    if not held or not machine.current:
        steps.append(Start((*machine.command, "daemon"), machine.paths.lock))
    notes.append("No systemd user manager runs here: the daemon starts with the desktop session or the first shell.")
    return steps


def _link_gone(machine: Machine) -> list[Step]:
    """What `disable` would remove, if there were a manager to ask."""
    link = machine.unit.parent / "default.target.wants" / UNIT
    return [FileChange(link, read_text(link), None, removes=machine.config)] if link.is_symlink() else []


def _own_file_gone(path: Path, machine: Machine, notes: list[str]) -> list[Step]:
    text = read_text(path)
    if text is None:
        return []
    if setup.whose_file(text) == setup.THEIRS:
        notes.append(f"{path} was not written by taowatch and stays.")
        return []
    return [FileChange(path, text, None, removes=machine.config)]


def _hooks_gone(machine: Machine, notes: list[str]) -> list[Step]:
    steps: list[Step] = []
    for path in _startup_files(machine):
        before = read_text(path)
        if before is None:
            continue
        after = setup.without_block(before)
        if setup.whose_block(after) is not None:
            notes.append(f"{path} has lines of yours that name taowatch; they stay, for you to remove.")
        if after != before:
            # A file that we made, or that was empty before, goes with its last line.
            steps.append(FileChange(path, before, after or None, removes=machine.config))
    return steps


def _startup_files(machine: Machine) -> list[Path]:
    """Those of every shell: one may have been in use when taowatch was installed."""
    home = machine.paths.home
    known = [home / ".bashrc", home / ".zshrc", machine.config / "fish/conf.d/taowatch.fish", *machine.shells.values()]
    return list(dict.fromkeys(known))


def _will_be_there(tree: Path, machine: Machine) -> bool:
    return tree == machine.paths.runtime and is_held(machine.paths.lock)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    passed = {name: environ[name] for name in _PASSED_ON if environ.get(name)}
    # The default places need no word, and would only tie the unit to this home.
    defaults = {"XDG_CONFIG_HOME": "/.config", "XDG_STATE_HOME": "/.local/state"}
    home = environ.get("HOME", "")
    for name in _PASSED_ON_PATHS:
        if environ.get(name) and environ[name] != home + defaults[name]:
            passed[name] = environ[name]
    return passed


def _refuse_borrowed(environ: Mapping[str, str]) -> None:
    cache = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME', '')}/.cache"
    if any(Path(place).is_relative_to(cache) for place in (sys.prefix, sys.executable)):
        raise TaowatchError(
            "taowatch runs from a temporary environment, which will not be there tomorrow", "pipx install taowatch"
        )


def _login_shell() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return ""


def _systemctl(question: str) -> str:
    try:
        done = subprocess.run(["systemctl", "--user", question, UNIT], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _result(plan: Plan, dry_run: bool, done: str, nothing: str) -> Result:
    notes = [f"Note: {note}" for note in plan.notes]
    if dry_run:
        return Result("\n".join([describe(plan) or "Nothing would change.", *notes]))
    if not plan.steps:
        return Result("\n".join([nothing, *notes]))
    did: list[str] = []
    problems = carry_out(plan, did.append)
    lines = [*did, *(f"Not done: {problem}" for problem in problems)]
    if problems:
        return Result("\n".join([*lines, *notes, "`taowatch doctor` shows what is missing."]), code=FAILED)
    return Result("\n".join([*lines, *notes, done]))
