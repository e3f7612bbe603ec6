"""A real systemd user manager on a machine that was not booted with systemd (nor needs to be).

It runs in a mount namespace of its own, in which it finds its own cgroups and an empty /run/systemd. Nothing of it is
seen outside, and with its first process everything in it goes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import wait_until

# The manager moves itself below the cgroup in which it starts; the shell leaves that cgroup to be able to remove it.
ENTER = r"""
set -e
[ -d /run/systemd ] || { mkdir /run/systemd; made=1; }
mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system
umount -R /sys/fs/cgroup 2>/dev/null || :
mount -t cgroup2 cgroup2 /sys/fs/cgroup
own=/sys/fs/cgroup/taowatch-tests-$$
mkdir "$own"
trap : TERM
[ "$1" = 0 ] || chown "$1" "$own" "$own"/cgroup.{procs,subtree_control,threads}
( echo 0 > "$own/cgroup.procs"; exec setpriv --reuid "$1" --regid "$1" --keep-groups \
    /lib/systemd/systemd --user --log-target=console ) &
manager=$!
trap 'kill -TERM $manager' TERM
while kill -0 $manager 2>/dev/null; do wait $manager || :; done
echo 1 > "$own/cgroup.kill" 2>/dev/null || :
find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || :
[ -z "${made-}" ] || { umount /run/systemd && rmdir /run/systemd || :; }
"""


class UserManager:
    """`systemd --user` for one home, by default root's."""

    def __init__(self, environment: Mapping[str, str], uid: int = 0) -> None:
        self.uid = uid
        self.runtime = Path(environment["XDG_RUNTIME_DIR"])
        self.environment = {
            **environment,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.runtime}/bus",
            "SYSTEMD_PAGER": "cat",
            "SYSTEMD_COLORS": "0",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.runtime / "manager.log"

    def start(self) -> None:
        """Start it and wait until its units are up."""
        environment = {k: v for k, v in self.environment.items() if k != "DBUS_SESSION_BUS_ADDRESS"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "-m", "--propagation", "private", "bash", "-c", ENTER, "enter", str(self.uid)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._up, 30, lambda: f"the user manager: {self.log}", pause=0.05)

    def _up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the user manager ended: {self.log}")
        return (self.runtime / "bus").exists() and self.systemctl("is-system-running").stdout.strip() == "running"

    def run(self, *command: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """Any program as a user of this session would run it."""
        assert self._process, "not started"
        return subprocess.run(
            ["nsenter", "-t", str(self._process.pid), "-m", *self._as_user(), *command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def _as_user(self) -> list[str]:
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), "--keep-groups"] if self.uid else []

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--user", *arguments)

    def taowatch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "taowatch", *arguments)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        said = self.systemctl("show", unit, *(f"--property={name}" for name in properties)).stdout
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    @property
    def log(self) -> str:
        """What the manager and the services in it said."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """End the manager and everything in it, as a logout would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"the user manager did not end: {self.log}") from None
        self._process = None
