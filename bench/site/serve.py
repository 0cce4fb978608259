"""The site on this machine, built again whenever the records change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.errors import EnvironmentProblem
from bench.files import storage_error

HOST = "127.0.0.1"
WATCHED = ("runs", "manifests", "audits", "attestations.json")


class _Handler(SimpleHTTPRequestHandler):
    """Serves files of one folder, and asks browsers to keep none."""

    def end_headers(self) -> None:
        """Add what no page says of itself."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: stdout and stderr are the command's."""


def state_of(results: Path) -> dict[str, tuple[int, int]]:
    """When each file that the site is made of was changed, and its size."""
    found = {}
    for name in WATCHED:
        for path in [results / name, *(results / name).rglob("*")]:
            try:
                status = path.stat()
            except OSError:  # gone while we looked
                continue
            found[str(path)] = (status.st_mtime_ns, status.st_size)
    return found


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Listen on this machine alone.

    Args:
        folder: of the site.
        port: to listen on; 0 takes any that is free.

    Raises:
        EnvironmentProblem: the port is taken.

    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise EnvironmentProblem(f"cannot listen on {HOST}:{port}: {error.strerror}: choose another --port") from error


def watch(results: Path, rebuild: Callable[[], None], stop: threading.Event, every: float = 1.0) -> None:
    """Call ``rebuild`` after each change of the records, until ``stop`` is set.

    Args:
        results: folder of records.
        rebuild: makes the site; what it raises ends the watch.
        stop: ends it.
        every: seconds between two looks.

    """
    seen = state_of(results)
    while not stop.wait(every):
        now = state_of(results)
        if now != seen:
            seen = now
            rebuild()


def serve(server: ThreadingHTTPServer, results: Path, rebuild: Callable[[], None]) -> None:
    """Serve until interrupted.

    Raises:
        StorageError: the site can no longer be written.

    """
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        watch(results, rebuild, threading.Event())
    except OSError as error:
        raise storage_error(results, error) from error
    finally:
        server.shutdown()
        server.server_close()
