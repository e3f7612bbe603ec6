"""`taowatch doctor`: part by part, whether it works here, why not, and the command that mends it."""

from __future__ import annotations

import asyncio
import os
import platform
import pwd
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from taowatch import __version__
from taowatch.commands.docker_check import docker, gpu
from taowatch.commands.finding import BROKEN, NOTE, OK, Finding
from taowatch.commands.install import UNIT, Machine, look
from taowatch.commands.status import snapshot
from taowatch.core import setup
from taowatch.core.wording import printable
from taowatch.errors import FAILED
from taowatch.paths import Paths
from taowatch.render import Result
from taowatch.sinks.desktop import DESKTOP, bus_address, server_state
from taowatch.sources import mountinfo
from taowatch.sources.reading import read_mounts_file

_NEWEST_LAUNCHER = (6, 26)
_MARKS = {OK: "ok", NOTE: "note", BROKEN: "BROKEN"}


@dataclass(frozen=True)
class Patient:
    """What the checks look at."""

    paths: Paths
    environ: Mapping[str, str]
    machine: Machine


def doctor(paths: Paths, environ: Mapping[str, str]) -> Result:
    """Exit 1 where something is broken; what is merely absent is a note."""
    patient = Patient(paths, environ, look(paths, environ))
    findings = [_contained(name, check, patient) for name, check in _CHECKS.items()]
    broken = [finding for finding in findings if finding.state == BROKEN]
    document = {"version": 1, "ok": not broken, "checks": [asdict(finding) for finding in findings]}
    return Result("\n".join(_lines(findings)), document, FAILED if broken else 0)


def _contained(name: str, check: Callable[[Patient], Finding], patient: Patient) -> Finding:
    try:
        return check(patient)
    except Exception as error:  # one part that cannot be examined hides no other
        return Finding(name, NOTE, f"could not be examined: {error}")


def _lines(findings: list[Finding]) -> list[str]:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(printable(f"{_MARKS[finding.state]:6}  {finding.name:{width}}  {finding.reason}"))
        if finding.mend:
            lines.append(printable(f"{'':6}  {'':{width}}  mend: {finding.mend}"))
    return lines


def _python(patient: Patient) -> Finding:
    return Finding("python", OK, f"{platform.python_version()} at {sys.executable}, taowatch {__version__}")


def _daemon(patient: Patient) -> Finding:
    document = snapshot(patient.paths)
    start = (
        f"systemctl --user start {UNIT}"
        if patient.machine.manager and patient.machine.unit.exists()
        else "taowatch install"
    )
    if document is None:
        return Finding("daemon", BROKEN, "none runs: no warnings will come", start)
    daemon = document["daemon"]
    if daemon.get("taowatch") != __version__:
        reason = f"pid {daemon['pid']} is of version {daemon.get('taowatch')}, this is {__version__}"
        return Finding("daemon", BROKEN, reason, "taowatch install")
    return Finding("daemon", OK, f"pid {daemon['pid']}, since {daemon['since']}")


def _systemd(patient: Patient) -> Finding:
    machine = patient.machine
    if not machine.manager:
        return Finding("systemd", NOTE, "no user manager runs here: the session or the first shell starts the daemon")
    if not machine.unit.exists():
        reason = f"{machine.unit} is not there"
        return Finding("systemd", NOTE if machine.active else BROKEN, reason, "taowatch install")
    program = _program(machine.unit)
    if program and not os.access(program, os.X_OK):
        return Finding("systemd", BROKEN, f"the unit starts {program}, which cannot be run", "taowatch install")
    if not machine.enabled or not machine.active:
        state = f"{'enabled' if machine.enabled else 'not enabled'}, {'active' if machine.active else 'not active'}"
        return Finding("systemd", BROKEN, f"the service is {state}", f"systemctl --user enable --now {UNIT}")
    return Finding("systemd", OK, "the service is enabled and active")


def _program(unit: Path) -> str:
    found = re.search(r'(?m)^ExecStart="?([^"\s%]+)', unit.read_text(errors="replace"))
    return found[1] if found else ""


def _linger(patient: Patient) -> Finding:
    if os.path.exists(f"/var/lib/systemd/linger/{pwd.getpwuid(os.getuid()).pw_name}"):
        return Finding("linger", OK, "the service stays when you log out")
    return Finding("linger", NOTE, "the service ends with your last session", "loginctl enable-linger")


def _hook(patient: Patient) -> Finding:
    shells = patient.machine.shells
    if not shells:
        return Finding("hook", NOTE, "no shell with a hook is in use")
    missing = {shell: path for shell, path in shells.items() if not _has_hook(path)}
    if missing:
        reason = ", ".join(f"{path} ({shell}) has no hook" for shell, path in missing.items())
        return Finding("hook", BROKEN, reason, "taowatch install")
    return Finding("hook", OK, ", ".join(str(path) for path in shells.values()))


def _has_hook(path: Path) -> bool:
    try:
        return setup.whose_block(path.read_text(errors="replace")) is not None
    except OSError:
        return False


def _desktop(patient: Patient) -> Finding:
    address = bus_address(patient.environ)
    if address is None:
        return Finding("desktop", NOTE, "no session bus: warnings come at the prompt and in `taowatch status`")
    state = asyncio.run(server_state(patient.environ))
    if state != DESKTOP:
        return Finding("desktop", NOTE, f"{state} ({address}): warnings come at the prompt and in `taowatch status`")
    return Finding("desktop", OK, f"a notification server answers on {address}")


def _docker(patient: Patient) -> Finding:
    return docker(patient.environ)


def _gpu(patient: Patient) -> Finding:
    return gpu(patient.environ)


def _inotify(patient: Patient) -> Finding:
    limits = {name: _sysctl(f"fs/inotify/max_{name}") for name in ("user_instances", "user_watches")}
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in limits.items())
    from watchdog.observers.inotify_c import InotifyFD

    try:
        os.close(InotifyFD._create_inotify_fd())
    except OSError as error:
        mend = "sudo sysctl fs.inotify.max_user_instances=1024 (and in /etc/sysctl.d for good)"
        return Finding("inotify", BROKEN, f"{error.strerror} ({said}): files are polled", mend)
    if 0 < limits["user_watches"] < 1024:
        mend = "sudo sysctl fs.inotify.max_user_watches=65536 (and in /etc/sysctl.d for good)"
        return Finding("inotify", NOTE, said, mend)
    return Finding("inotify", OK, said)


def _sysctl(name: str) -> int:
    try:
        return int(Path(f"/proc/sys/{name}").read_text())
    except (OSError, ValueError):
        return -1


def _file_system(patient: Patient) -> Finding:
    home = os.path.realpath(patient.paths.home)
    kind = mountinfo.type_at(mountinfo.read(), home) or "unknown"
    if mountinfo.is_silent(kind):
        return Finding("home", NOTE, f"{home} lies on {kind}, which tells no changes: it is polled")
    return Finding("home", OK, f"{home} lies on {kind}")


def _state(patient: Patient) -> Finding:
    state = patient.paths.state
    for directory in (state, patient.paths.runtime):
        if directory.exists() and directory.stat().st_uid != os.getuid():
            return Finding("state", BROKEN, f"{directory} belongs to somebody else", f"sudo chown -R $USER {directory}")
    place = next(parent for parent in (state, *state.parents) if parent.exists())
    if not os.access(place, os.W_OK):
        return Finding("state", BROKEN, f"{place} cannot be written: no revision is kept", f"chmod u+w {place}")
    free = shutil.disk_usage(place).free
    if free < 1024 * 1024:
        return Finding("state", BROKEN, f"the disk of {place} is full: no revision is kept", f"df -h {place}")
    return Finding("state", OK, f"{state}, revisions in {patient.paths.history.name}")


def _mounts_file(patient: Patient) -> Finding:
    reading = read_mounts_file(str(patient.paths.mounts_file), patient.paths.home)
    if reading.state == "invalid":
        return Finding("mounts file", BROKEN, f"{reading.path}: {reading.error}", "taowatch restore")
    return Finding("mounts file", OK, f"{reading.path} is {reading.state}")


def _launcher(patient: Patient) -> Finding:
    program = shutil.which("tao", path=patient.environ.get("PATH"))
    if program is None:
        return Finding("launcher", NOTE, "`tao` is not on this PATH", "pip install nvidia-tao (in its own environment)")
    version = _launcher_version(Path(program))
    if version is None:
        return Finding("launcher", NOTE, f"{program}, of a version that cannot be told")
    if tuple(map(int, version.split(".")[:2])) > _NEWEST_LAUNCHER:
        return Finding("launcher", NOTE, f"{program} is {version}, newer than what taowatch was tested with")
    return Finding("launcher", OK, f"{program}, version {version}")


def _launcher_version(program: Path) -> str | None:
    """From the names of the packages beside the program: running it would take seconds."""
    prefix = Path(os.path.realpath(program)).parent.parent
    for directory in prefix.glob("lib/python*/site-packages/nvidia_tao-*.dist-info"):
        found = re.fullmatch(r"nvidia_tao-(\d+\.\d+[\d.]*).*\.dist-info", directory.name)
        if found:
            return found[1].rstrip(".")
    return None


_CHECKS: dict[str, Callable[[Patient], Finding]] = {
    "python": _python,
    "daemon": _daemon,
    "systemd": _systemd,
    "linger": _linger,
    "hook": _hook,
    "desktop": _desktop,
    "docker": _docker,
    "gpu": _gpu,
    "inotify": _inotify,
    "home": _file_system,
    "state": _state,
    "mounts file": _mounts_file,
    "launcher": _launcher,
}
