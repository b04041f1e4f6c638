"""The data of a run that is only looked at: found without the network, without writing, and only in known places.

A run folder may come from a stranger, and its settings name a folder to keep data in, a URL and a file. So:

- what the user types now, `root` and `archive`, is followed wherever it leads;
- the run's own `data.archive` is read only if it has the SHA-256 that the run records: whoever made the run then knows
  the content already, and nothing of another file can show up in a message or as a title;
- the run's own `data.root` is followed only below the working folder, and there to no link that leads out of it; else
  the default root is;
- files of features are not read at all: a finished model does without;
- nothing is fetched or stored: what is not prepared yet is prepared in memory.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ncf.data import Split, read_split
from ncf.data.archive import Archive, sha256_of_file, source_at, user_path
from ncf.data.cache import storing_nothing
from ncf.data.releases import RELEASES, Release
from ncf.errors import DataError

DEFAULT_ROOT = "data"  # that of conf/data/*.yaml
_RELEASES = {release.name: release for release in RELEASES}


def split_of(settings: Mapping[str, Any], root: Path | None, archive: Path | None) -> Split:
    """Return the split that a run's settings describe; see above for where its data may lie.

    Args:
        root: folder of data that the user names, instead of the run's `data.root`.
        archive: data file or folder that the user names, instead of the run's `data.archive`.

    Raises:
        ConfigError: the settings are invalid.
        DataError: the data is missing, damaged or where it may not be read; the message says what to type.
    """
    data = dict(settings["data"])
    saved = data.get("root")
    if isinstance(saved, str):
        data["root"] = _root(saved, root)
    if isinstance(data.get("archive", 0), str | None):
        data["archive"] = str(archive) if archive is not None else _archive(data, saved)
    data |= {key: None for key in data if key.startswith(("item_features", "user_features"))}
    with storing_nothing():
        return read_split({**settings, "data": data})


def _root(saved: str, typed: Path | None) -> str:
    if typed is not None:
        return str(typed)
    return saved if _lies_below(Path(saved), Path.cwd()) else DEFAULT_ROOT


def _archive(data: Mapping[str, Any], root: Any) -> str:
    """Return the path of the data file or, for a release, of an earlier download. Raises DataError if there is none.

    Args:
        root: the run's own `data.root`, which the message names where it is not followed.
    """
    saved, release = data["archive"], _RELEASES.get(str(data.get("name")))
    if isinstance(saved, str) and _known(saved, data.get("sha256"), release):
        return saved
    if release is not None:
        return _download(release, Path(data["root"]), root)
    raise DataError(
        f"data.archive: expected a file with the SHA-256 of the run's data at {saved!r:.200}; archive=<path> names it"
    )


def _known(saved: str, sha256: Any, release: Release | None) -> bool:
    """Return whether the file at `saved` has the content that `sha256` says; of a release, only an archive can."""
    try:
        path = user_path(saved)
        if not path.is_file():
            return False
        if release is None:
            return bool(sha256_of_file(path) == sha256)
        source = source_at(path, release.ratings_member)
        if not isinstance(source, Archive):  # what lies beside the file of ratings is not known
            return False
        of_ratings = release.digest_is_of_ratings
        return bool(sha256 == (source.digest_of(release.ratings_member) if of_ratings else source.digest()))
    except (DataError, OSError, ValueError):
        return False


def _download(release: Release, root: Path, saved: Any) -> str:
    for path in (root / "raw" / f"{release.name}.zip", root / "raw" / release.name):
        files = [path, *(path / name for name in _names(release))]
        if path.exists() and (str(root) == DEFAULT_ROOT or all(_lies_below(file, root) for file in files)):
            return str(path)
    unread = "" if str(root) == str(saved) else f" (the run's own {saved!r:.200} is not looked into unless typed)"
    raise DataError(
        f"{release.name}: expected its files in {root / 'raw'}, found none{unread}; root=<data folder> or "
        f"archive=<path> names them, and python -m ncf.data data={release.name} fetches them"
    )


def _names(release: Release) -> list[str]:
    """Return the names that files of the release may have in a folder."""
    members = (release.ratings_member, *release.movies_members)
    return [*members, *(PurePosixPath(member).name for member in members)]


def _lies_below(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links, or a name that cannot be one
        return False
