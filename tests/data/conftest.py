"""Fixtures of the data room's tests."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from data_helpers import Handler, MakeArchive, Prepare, members, ratings_text, settings, write_zip

from ncf.core.config import component
from ncf.data import DATASETS, Interactions


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """prepare(name, **changes) -> Interactions, with its files under a temporary root and no digest pinned."""

    def run(name: str, **changes: Any) -> Interactions:
        pinned = {"sha256": None} if name.startswith("ml-") else {}
        return component("data", DATASETS, settings(name, **{"root": str(tmp_path / "root"), **pinned, **changes}))()

    return run


@pytest.fixture
def archive(tmp_path: Path) -> MakeArchive:
    """archive(rows) -> path of a zip in the layout of ml-1m."""

    def make(rows: Any) -> str:
        return str(write_zip(tmp_path / "set.zip", members("ml-1m", ratings_text("ml-1m", rows))))

    return make


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], str]]:
    """serve(handler) -> http URL of a server on this machine that answers every GET by handler(request)."""
    servers = []

    def start(handler: Handler) -> str:
        class Requests(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                handler(self)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/set.zip"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def official_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that keeps the real MovieLens-100K for the session, fetched the way a user gets it."""
    return tmp_path_factory.mktemp("official")
