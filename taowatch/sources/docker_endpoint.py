"""Which Docker engine is meant: what the docker program would choose, which its Python library does not do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT = "unix:///var/run/docker.sock"
_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Endpoint:
    """An engine's address, and where it was found."""

    url: str
    chosen_by: str

    @property
    def socket(self) -> str | None:
        """The path of its socket, or None where it is not on this machine's file system."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else None

    @property
    def is_remote(self) -> bool:
        """Mounts of a remote engine are paths of another machine."""
        return self.socket is None


def resolve(environ: Mapping[str, str]) -> Endpoint:
    """DOCKER_HOST, then DOCKER_CONTEXT or the current context, then a rootless engine's socket, then the system's."""
    if host := environ.get("DOCKER_HOST"):
        return Endpoint(_url(host), "DOCKER_HOST")
    config = Path(environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker")
    context = environ.get("DOCKER_CONTEXT")
    chosen_by = f"DOCKER_CONTEXT {context}"
    if not context:
        context = _text(_document(config / "config.json").get("currentContext"))
        chosen_by = f"docker context {context}"
    if context and context != "default":
        # The docker program fails for a context that is not there; asking another engine instead would mislead.
        return Endpoint(_context_host(config, context) or f"context://{context}", chosen_by)
    return _socket(environ)


def _socket(environ: Mapping[str, str]) -> Endpoint:
    system = DEFAULT.removeprefix("unix://")
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    rootless = f"{runtime}/docker.sock"
    # A rootless engine's socket stays behind when it is uninstalled: it counts where it is a socket, and the system's
    # engine (which the launcher insists on) is taken where that one can be used.
    if os.path.exists(rootless) and not os.access(system, os.R_OK | os.W_OK):
        return Endpoint(f"unix://{rootless}", "rootless socket")
    return Endpoint(DEFAULT, "default")


def _context_host(config: Path, context: str) -> str | None:
    name = hashlib.sha256(context.encode("utf-8", "surrogateescape")).hexdigest()
    endpoints = _document(config / "contexts/meta" / name / "meta.json").get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = _text(docker.get("Host")) if isinstance(docker, dict) else ""
    return _url(host) if host else None


def _document(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one where there is none that can be read."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _url(host: str) -> str:
    return f"unix://{host}" if host.startswith("/") else host
