"""The MovieLens releases of GroupLens: the files of each archive and their formats."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """A published wheel that contains a copy of a release: a requirement for pip, and the members with the data.

    `ratings` is the official file with a header line added; `movies` and `users` have its columns in part.
    """

    requirement: str
    ratings: str
    movies: str
    users: str


@dataclass(frozen=True)
class Release:
    """One published data set.

    `folder` is the archive's top-level folder; `header` says whether its files start with column names;
    `digest_is_of_ratings` whether the pinned SHA-256 is that of the ratings file, not of the archive.
    """

    name: str
    folder: str
    ratings: str
    movies: str
    delimiter: str
    header: bool = False
    encoding: str = "utf-8"
    digest_is_of_ratings: bool = False
    wheel: Wheel | None = None
    users: str | None = None

    @property
    def ratings_member(self) -> str:
        """Path of the ratings file in the archive."""
        return f"{self.folder}/{self.ratings}"

    @property
    def movies_members(self) -> list[str]:
        """Paths of the files with titles and genres, the official one first."""
        names = [self.movies] if self.wheel is None else [self.movies, self.wheel.movies.rpartition("/")[2]]
        return [f"{self.folder}/{name}" for name in names]

    @property
    def users_members(self) -> list[str]:
        """Paths of the files with ages, genders and occupations of users; none if the release has no such file."""
        official = [] if self.users is None else [self.users]
        names = official if self.wheel is None else [*official, self.wheel.users.rpartition("/")[2]]
        return [f"{self.folder}/{name}" for name in names]


def _csv(name: str) -> Release:
    return Release(name, name, "ratings.csv", "movies.csv", ",", header=True)


_RECBOLE = Wheel(
    "recbole==1.2.1",
    ratings="recbole/dataset_example/ml-100k/ml-100k.inter",
    movies="recbole/dataset_example/ml-100k/ml-100k.item",
    users="recbole/dataset_example/ml-100k/ml-100k.user",
)

RELEASES = (
    Release(
        "ml-100k",
        "ml-100k",
        "u.data",
        "u.item",
        "\t",
        encoding="latin-1",
        digest_is_of_ratings=True,
        wheel=_RECBOLE,
        users="u.user",
    ),
    Release("ml-1m", "ml-1m", "ratings.dat", "movies.dat", "::", encoding="latin-1", users="users.dat"),
    Release("ml-10m", "ml-10M100K", "ratings.dat", "movies.dat", "::"),
    _csv("ml-20m"),
    _csv("ml-25m"),
    _csv("ml-32m"),
)
