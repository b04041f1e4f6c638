"""Downloads that go wrong in every way a network can, each injected for real by a server on this machine."""

import hashlib
import ssl
import subprocess
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from data_helpers import Handler, Prepare, full_disk, members, write_zip

from ncf.data import download
from ncf.data.download import fetch, fetch_from_wheel
from ncf.errors import DataError

Serve = Callable[[Handler], str]
BODY = bytes(range(256)) * 400
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SOCKET_SECONDS", 0.5)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def answer(body: bytes, *, length: int | None = None, status: int = 200) -> Handler:
    def handler(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return handler


def assert_fails(url: str, target: Path, complaint: str, sha256: str | None = SHA256) -> None:
    """The error is one line that says why, soon, and nothing is left behind."""
    started = time.monotonic()
    with pytest.raises(DataError, match=complaint) as caught:
        fetch(url, target, sha256)
    assert time.monotonic() - started < 5
    assert "\n" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_a_download_is_verified_and_put_in_place(serve: Serve, tmp_path: Path) -> None:
    fetch(serve(answer(BODY)), tmp_path / "new" / "set.zip", SHA256)
    assert (tmp_path / "new" / "set.zip").read_bytes() == BODY
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_truncated(serve: Serve, tmp_path: Path) -> None:
    url = serve(answer(BODY, length=len(BODY) + 100))
    assert_fails(url, tmp_path / "set.zip", f"truncated, received {len(BODY)} of {len(BODY) + 100} bytes", sha256=None)


def test_wrong_digest(serve: Serve, tmp_path: Path) -> None:
    assert_fails(serve(answer(BODY[:-1])), tmp_path / "set.zip", f"expected SHA-256 {SHA256}, found")


def test_status_404(serve: Serve, tmp_path: Path) -> None:
    assert_fails(serve(answer(b"gone", status=404)), tmp_path / "set.zip", "HTTP status 404")


def test_a_server_that_never_answers(serve: Serve, tmp_path: Path) -> None:
    assert_fails(serve(lambda _: time.sleep(3)), tmp_path / "set.zip", r"no response within 0\.5 s")


def test_a_server_that_stops_midway(serve: Serve, tmp_path: Path) -> None:
    def handler(request: BaseHTTPRequestHandler) -> None:
        answer(BODY, length=10**6)(request)
        time.sleep(3)

    assert_fails(serve(handler), tmp_path / "set.zip", r"no response within 0\.5 s")


def test_a_server_that_drips(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: BaseHTTPRequestHandler) -> None:
        answer(b"", length=10**6)(request)
        for _ in range(40):
            request.wfile.write(b".")
            time.sleep(0.1)

    monkeypatch.setattr(download, "PATIENCE_SECONDS", 0.5)
    assert_fails(serve(handler), tmp_path / "set.zip", "too slow")


def test_a_file_over_the_size_limit(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_DOWNLOAD_BYTES", 1000)
    assert_fails(serve(answer(BODY)), tmp_path / "set.zip", "larger than the limit of 1000 bytes")


def test_nobody_listens(tmp_path: Path) -> None:
    assert_fails("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", "Connection refused")


def test_no_such_host(tmp_path: Path) -> None:
    assert_fails("https://set.invalid/set.zip", tmp_path / "set.zip", "https://set.invalid/set.zip: ")


def tls_server(tmp_path: Path, handler: Handler) -> tuple[str, HTTPServer]:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handler(self)

    server = HTTPServer(("127.0.0.1", 0), Requests)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"https://127.0.0.1:{server.server_port}/set.zip", server


def test_an_invalid_certificate(tmp_path: Path) -> None:
    url, server = tls_server(tmp_path, answer(BODY))
    (tmp_path / "raw").mkdir()
    assert_fails(url, tmp_path / "raw" / "set.zip", r"invalid TLS certificate \(self-signed certificate\)")
    server.shutdown()
    server.server_close()


def test_a_full_disk_leaves_the_old_file(serve: Serve, tmp_path: Path) -> None:
    target = tmp_path / "set.zip"
    target.write_bytes(b"old")
    url = serve(answer(BODY))
    with full_disk(5000), pytest.raises(DataError, match=r"set\.zip: cannot write \(File too large\)"):
        fetch(url, target, None)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_pip_without_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError, match=r"pip download recbole==1\.2\.1: No matching distribution found"):
        fetch_from_wheel("recbole==1.2.1", {})


def test_pip_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 20\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(download.sys, "executable", str(hanging))
    monkeypatch.setattr(download, "PIP_SECONDS", 0.3)
    with pytest.raises(DataError, match=r"no result within 0\.3 s"):
        fetch_from_wheel("recbole==1.2.1", {})


def test_a_downloaded_archive_is_kept_for_the_next_time(serve: Serve, prepare: Prepare, tmp_path: Path) -> None:
    body, calls = write_zip(tmp_path / "set.zip", members("ml-1m")).read_bytes(), []

    def handler(request: BaseHTTPRequestHandler) -> None:
        calls.append(request.path)
        answer(body)(request)

    url, digest = serve(handler), hashlib.sha256(body).hexdigest()
    first = prepare("ml-1m", url=url, sha256=digest)
    assert prepare("ml-1m", url=url, sha256=digest, threshold=3).num_users == first.num_users
    assert len(calls) == 1
    assert (tmp_path / "root" / "raw" / "ml-1m.zip").read_bytes() == body
