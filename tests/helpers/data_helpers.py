"""What the tests of the data room build with: settings from the real YAML, sets in the official layouts."""

import resource
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from ncf.core.compose import CONF
from ncf.data import Interactions
from ncf.data.interactions import Counts

Prepare = Callable[..., Interactions]
MakeArchive = Callable[[Any], str]
Handler = Callable[[BaseHTTPRequestHandler], None]

RATINGS = ((1, 10, 5, 100), (1, 20, 4, 200), (1, 30, 4, 300), (2, 10, 3, 100), (2, 20, 5, 50), (3, 40, 1, 10))
MOVIES = ((10, "Élan, The (1995)", "Comedy|Drama"), (20, "Two (1996)", "War"), (40, "Four (1997)", ""))
_FORMS = {
    "ml-100k": ("ml-100k", "u.data", "u.item", "\t"),
    "ml-1m": ("ml-1m", "ratings.dat", "movies.dat", "::"),
    "ml-10m": ("ml-10M100K", "ratings.dat", "movies.dat", "::"),
    "ml-20m": ("ml-20m", "ratings.csv", "movies.csv", ","),
    "ml-25m": ("ml-25m", "ratings.csv", "movies.csv", ","),
    "ml-32m": ("ml-32m", "ratings.csv", "movies.csv", ","),
}
_GENRES = """unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror
Musical Mystery Romance Sci-Fi Thriller War Western"""
RELEASE_NAMES = tuple(_FORMS)


def settings(name: str, **changes: Any) -> dict[str, Any]:
    """The keys of conf/data/<name>.yaml with some changed."""
    keys = OmegaConf.merge(OmegaConf.load(CONF / "data" / f"{name}.yaml"), changes)
    return OmegaConf.to_container(keys, resolve=True)  # type: ignore[return-value]


def ratings_text(name: str, rows: Any = RATINGS) -> bytes:
    """The rows as the release writes them."""
    delimiter = _FORMS[name][3]
    header = "userId,movieId,rating,timestamp\n" if delimiter == "," else ""
    return (header + "".join(delimiter.join(map(str, row)) + "\n" for row in rows)).encode()


def movies_text(name: str) -> bytes:
    """MOVIES as the release writes them."""
    if name == "ml-100k":
        genres = _GENRES.split()
        flags = ["|".join(str(int(g in text.split("|"))) for g in genres) for _, _, text in MOVIES]
        return "".join(f"{m[0]}|{m[1]}|01-Jan-1995||url|{f}\n" for m, f in zip(MOVIES, flags)).encode("latin-1")
    if _FORMS[name][3] == "::":
        encoding = "latin-1" if name == "ml-1m" else "utf-8"
        return "".join(f"{i}::{title}::{genres}\n" for i, title, genres in MOVIES).encode(encoding)
    lines = [f'{i},"{title}",{genres or "(no genres listed)"}\n' for i, title, genres in MOVIES]
    return ("movieId,title,genres\n" + "".join(lines)).encode()


def members(name: str, ratings: bytes | None = None) -> dict[str, bytes]:
    """The archive's members that matter."""
    folder, ratings_file, movies_file, _ = _FORMS[name]
    ratings = ratings_text(name) if ratings is None else ratings
    return {f"{folder}/{ratings_file}": ratings, f"{folder}/{movies_file}": movies_text(name)}


def write_zip(path: Path, contents: Mapping[str | zipfile.ZipInfo, bytes]) -> Path:
    """A zip with these members, dates fixed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            archive.writestr(info, data)
    return path


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A write that would make a file longer than `size` bytes fails while the context lasts (File too large)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def interactions_of(rows: list[tuple[int, int, int]]) -> Interactions:
    """Interactions of (user, item, time) rows whose ids are dense already; raw ids are 100 + user, 1000 + item."""
    users, items, times = np.array(rows, np.int64).reshape(-1, 3).T
    num_users, num_items = users.max() + 1, items.max() + 1
    return Interactions(
        users, items, np.ones(len(rows), np.float32), times, np.arange(num_users) + 100, np.arange(num_items) + 1000,
        None, None, "toy", "0" * 64, Counts(),
    )  # fmt: skip
