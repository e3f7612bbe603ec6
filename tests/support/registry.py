"""A small Docker registry with one image, which keeps who pulls it waiting until it is told to go on.

It runs as a process of its own beside the engine: ours has a network namespace to itself.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


class SlowRegistry:
    """The registry, as who needs it sees it."""

    def __init__(self, socket_of_the_engine: Path, root: bytes) -> None:
        engine = _peer(socket_of_the_engine)
        words = ["nsenter", f"--net=/proc/{engine}/ns/net", sys.executable, "-m", "tests.support.registry"]
        self._process = subprocess.Popen(
            words, cwd=Path(__file__).parents[2], env=dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        self._process.stdin.write(struct.pack("!Q", len(root)) + root)
        self._process.stdin.flush()
        self.name = f"127.0.0.1:{self._line()}"
        """Engines need no TLS to talk to a registry on their own machine."""

    def wait_until_asked(self) -> None:
        """Until somebody waits for the image."""
        assert self._line() == "asked"

    def go_on(self) -> None:
        """Give the image out."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go on\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()


class _Image:
    """What is served: a manifest and its blobs."""

    def __init__(self, root: bytes) -> None:
        layer = gzip.compress(root)
        config = {"Env": ["PATH=/usr/local/bin:/bin"], "Cmd": ["/usr/local/bin/hold"]}
        rootfs = {"type": "layers", "diff_ids": [_digest(root)]}
        image = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs, "history": [{}]}
        ).encode()
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _described(image, _CONFIG),
                "layers": [_described(layer, _LAYER)],
            }
        ).encode()
        self.blobs = {_digest(blob): blob for blob in (image, layer)}
        self.go_on = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    image: _Image
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, wanted = self.path.rstrip("/").rpartition("/")
        if self.path.rstrip("/") == "/v2":
            self._answer(b"{}", "application/json")
        elif kind.endswith("/manifests"):
            if not self.image.go_on.is_set():
                print("asked", flush=True)
            self.image.go_on.wait(60)
            self._answer(self.image.manifest, _MANIFEST)
        elif wanted in self.image.blobs:
            self._answer(self.image.blobs[wanted], "application/octet-stream")
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", _digest(content))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(blob: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}


def _peer(path: Path) -> int:
    """The process that listens on a socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def main() -> None:
    """The child: the image's root comes in on stdin, then a line that lets it out; the port goes to stdout first."""
    (size,) = struct.unpack("!Q", sys.stdin.buffer.read(8))
    image = _Image(sys.stdin.buffer.read(size))
    _loopback_up()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"image": image}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    while sys.stdin.buffer.readline():
        image.go_on.set()


if __name__ == "__main__":
    main()
