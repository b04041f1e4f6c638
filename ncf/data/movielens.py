"""Load MovieLens: from the official files to interactions."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ncf.core.config import spelled
from ncf.core.roles import MACHINE
from ncf.data.archive import Source, user_path
from ncf.data.cache import cached
from ncf.data.catalogue import read_catalogue
from ncf.data.feature_files import Rows, read_official_users
from ncf.data.features import FeatureDigest, FeaturePath, with_features
from ncf.data.interactions import Duplicates, Interactions, Least, core, digest_of, positives
from ncf.data.ratings import Columns, Ratings, Scale, collect
from ncf.data.releases import Release
from ncf.data.sources import Request, locate
from ncf.data.table import Layout, header_of, lines_of, read, refuse

_log = logging.getLogger(__name__)

_COLUMNS = Columns("userId", "movieId", "rating", "timestamp")
_NAMES = ("userId", "movieId", "rating", "timestamp")

Sha256 = Annotated[str, spelled("[0-9a-f]{64}", "64 hexadecimal digits (0 to 9, a to f)")]


def loader(release: Release) -> Callable[..., Interactions]:
    """Return the component that loads `release`; its parameters are the keys of `conf/data/<release>.yaml`."""

    def load(
        *,
        root: Annotated[str, MACHINE],
        archive: Annotated[str | None, MACHINE],
        threshold: float | None,
        duplicates: Duplicates,
        url: Annotated[str, spelled("https?://.*", "an address that begins with https:// or http://")],
        sha256: Sha256 | None,
        scale: Annotated[list[float], Field(min_length=3, max_length=3)],
        min_user_positives: Least,
        min_item_positives: Least,
        item_features: FeaturePath,
        item_features_sha256: FeatureDigest,
        user_features: FeaturePath,
        user_features_sha256: FeatureDigest,
    ) -> Interactions:
        """Load the release's positives. Raises ConfigError for an invalid scale, DataError for missing or bad files."""
        request = Request(release, Path(root, "raw"), url, sha256)
        allowed = Scale.of(scale)
        source = locate(request, None if archive is None else user_path(archive))
        settings = {"threshold": threshold, "duplicates": duplicates}
        raw = source.digest(release.ratings_member, *release.movies_members)

        def build() -> Interactions:
            """Read the release's files."""
            _log.info("%s: preparing the data at %s", release.name, source.path)
            catalogue = read_catalogue(source, release.movies_members, release.encoding)
            digest = digest_of(ratings=source.digest_of(release.ratings_member), **settings)
            ratings = read_ratings(source, release, allowed)
            return positives(ratings, catalogue, release.name, digest, threshold, duplicates)

        key = digest_of(name=release.name, raw=raw, scale=scale, **settings)
        data = core(cached(Path(root), release.name, key, build), min_user_positives, min_item_positives)
        users = partial(read_users, source, release)
        return with_features(data, (item_features, item_features_sha256), (user_features, user_features_sha256), users)

    return load


def read_users(source: Source, release: Release) -> Rows | None:
    """Return age, gender and occupation of the users; None if the files at hand lack them. Raises DataError."""
    member = next((m for m in release.users_members if source.has(m)), None)
    return None if member is None else read_official_users(source, member, release.encoding)


def read_ratings(source: Source, release: Release, scale: Scale) -> Ratings:
    """Read all ratings of the release. Raises DataError naming the first invalid line."""
    label, layout = source.label(release.ratings_member), Layout(release.delimiter, _NAMES)
    with source.open(release.ratings_member) as stream:
        blocks, line = lines_of(stream, label), 1
        if release.header:
            names, blocks = header_of(blocks, label, layout)
            if tuple(names) != _NAMES:
                refuse(label, 1, f"the header {','.join(_NAMES)}", ",".join(names))
            line = 2
        rows = read(blocks, label, layout, _COLUMNS.kinds("integer", "integer"), line)
        return collect(rows, label, _COLUMNS, scale, line)
