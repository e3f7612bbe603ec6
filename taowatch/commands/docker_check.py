"""What `taowatch doctor` says of Docker: which engine, whether it may be asked, and who else asks another one."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Mapping

from taowatch.commands.finding import BROKEN, NOTE, OK, Finding
from taowatch.sources.docker import connect, explain
from taowatch.sources.docker_endpoint import DEFAULT, Endpoint, resolve

_GPU_HOOKS = ("nvidia-container-runtime-hook", "nvidia-ctk", "nvidia-container-cli")


def docker(environ: Mapping[str, str]) -> Finding:
    """Whether the engine answers."""
    endpoint = resolve(environ)
    where = f"{endpoint.url} ({endpoint.chosen_by})"
    if endpoint.is_remote:
        return Finding("docker", NOTE, f"{where} is another machine's engine: jobs are known from their processes only")
    path = endpoint.socket or ""
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        return _no_permission(path, where)
    try:
        version = connect(environ).version()["Version"]
    except Exception as error:  # the library fails in many ways; each is a reason for people
        mend = "sudo systemctl start docker" if endpoint.url == DEFAULT else ""
        state = BROKEN if os.path.exists(path) or shutil.which("dockerd") else NOTE
        return Finding("docker", state, explain(error, endpoint), mend)
    return _answers(endpoint, f"engine {version} at {where}")


def gpu(environ: Mapping[str, str]) -> Finding:
    """The launcher asks for all GPUs each time, and fails where the engine has no way to grant them."""
    found = next((path for name in _GPU_HOOKS if (path := shutil.which(name, path=environ.get("PATH")))), None)
    if found:
        return Finding("gpu runtime", OK, found)
    reason = 'no NVIDIA container runtime: `tao` fails with "could not select device driver"'
    return Finding("gpu runtime", NOTE, reason, "sudo apt-get install nvidia-container-toolkit")


def _answers(endpoint: Endpoint, text: str) -> Finding:
    if endpoint.url == DEFAULT:
        return Finding("docker", OK, text)
    # The launcher runs containers where DOCKER_HOST says, inspects them at the default socket, and enters them with
    # the docker program, which follows the context.
    reason = f'{text}; the launcher also asks {DEFAULT}, and fails with "No such container" if that is another engine'
    return Finding("docker", NOTE, reason, "docker context use default; unset DOCKER_HOST")


def _no_permission(path: str, where: str) -> Finding:
    group = os.stat(path).st_gid
    name = _group_name(group)
    user = pwd.getpwuid(os.getuid()).pw_name
    if group in os.getgrouplist(user, os.getgid()) and group not in os.getgroups():
        reason = f"{where}: you are in the group {name}, but this session began before"
        return Finding(
            "docker", BROKEN, reason, "log out of all sessions and in again: the service too has the old groups"
        )
    reason = f"{where}: it takes the group {name}, which is as powerful as root"
    return Finding("docker", BROKEN, reason, f"sudo usermod -aG {name} {user}, then log out and in again")


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
