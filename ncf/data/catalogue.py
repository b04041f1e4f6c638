"""Titles and genres of MovieLens items, in one format whatever file they come from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ncf.data.archive import Source
from ncf.data.table import Kind, Layout, header_of, lines_of, read, refuse
from ncf.errors import DataError

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_MOST_MOVIES, _MOST_BYTES, _LONGEST = 250_000, 32 << 20, 512  # the largest release has 87,585 movies in 4 MB
_NO_GENRES = "(no genres listed)"


@dataclass(frozen=True)
class Catalogue:
    """Titles and genres by item id: `ids` (M,) int64, `titles` (M,) and `genres` (M,) unicode, separated by `|`."""

    ids: np.ndarray
    titles: np.ndarray
    genres: np.ndarray


_LAYOUTS = {
    "u.item": Layout("|", ("movie_id", "title", "release", "video_release", "url", *_GENRES_100K), encoding="latin-1"),
    "ml-100k.item": Layout("\t", ("item_id", "title", "year", "genres")),
    "movies.dat": Layout("::", ("movie_id", "title", "genres")),
    "movies.csv": Layout(",", ("movieId", "title", "genres"), quotes=True),
}
_WITH_HEADER = ("ml-100k.item", "movies.csv")


def read_catalogue(source: Source, members: Iterable[str], encoding: str) -> Catalogue | None:
    """Read titles and genres from the first of `members` that exists; return None if none does.

    Raises:
        DataError: a line does not parse or lists a movie again (the message gives the line number), or the file is many
            times as large as any release's.
    """
    member = next((m for m in members if source.has(m)), None)
    if member is None:
        return None
    file = member.rpartition("/")[2]
    layout, label = _LAYOUTS[file], source.label(member)
    if file == "movies.dat":
        layout = Layout(layout.delimiter, layout.columns, encoding=encoding)
    rows: list[tuple] = []
    line = 1
    with source.open(member) as stream:
        blocks = _bounded(lines_of(stream, label), label)
        if file in _WITH_HEADER:
            _, blocks = header_of(blocks, label, layout)
            line = 2
        kinds: dict[str, Kind] = {layout.columns[0]: "integer", **dict.fromkeys(layout.columns[1:], "text")}
        for block in read(blocks, label, layout, kinds, line):
            rows += zip(*block.columns.values())
    return _catalogue(rows, file, label, line)


def _bounded(blocks: Iterator[bytes], label: str) -> Iterator[bytes]:
    """Yield the blocks. Raises DataError once there are more lines or bytes than a catalogue has."""
    lines = size = 0
    for block in blocks:
        lines, size = lines + block.count(b"\n"), size + len(block)
        if lines > _MOST_MOVIES or size > _MOST_BYTES:
            raise DataError(f"{label}: expected at most {_MOST_MOVIES:,} movies in {_MOST_BYTES:,} bytes, found more")
        yield block


def _catalogue(rows: list[tuple], file: str, label: str, first_line: int) -> Catalogue:
    seen: dict[int, int] = {}
    for line, row in enumerate(rows, first_line):
        if row[0] in seen:
            refuse(label, line, f"each movie once (first on line {seen[row[0]]})", f"movie {row[0]} again")
        seen[row[0]] = line
        if len(row[1]) > _LONGEST or len(row[-1]) > _LONGEST:  # every title takes as much memory as the longest
            refuse(label, line, f"title and genres of at most {_LONGEST} characters", f"{max(map(len, row[1:]))}")
    titles, genres = zip(*(_metadata(row, file) for row in rows)) if rows else ((), ())
    return Catalogue(np.array(list(seen), np.int64), np.array(titles, np.str_), np.array(genres, np.str_))


def _metadata(row: tuple, file: str) -> tuple[str, str]:
    """Return title and genres of one line: "Toy Story (1995)", "Animation|Children's|Comedy"."""
    if file == "u.item":
        return row[1], "|".join(name for name, flag in zip(_GENRES_100K, row[5:]) if flag == "1")
    if file == "ml-100k.item":
        known = row[2] != "unkonwn"  # sic: this copy's spelling for the one movie without title and year
        return (f"{row[1]} ({row[2]})" if known else "unknown"), row[3].replace(" ", "|")
    return row[1], "" if row[2] == _NO_GENRES else row[2]
