"""`python -m ncf.negatives output=negatives.npz`: draw or import fixed negatives for evaluation=sampled.

    python -m ncf.negatives data=ml-100k output=negatives.npz
    python -m ncf.negatives data=csv data.archive=ratings.csv import=ml-1m.test.negative output=negatives.npz
    python -m ncf.train evaluation=sampled evaluation.file=negatives.npz

The NCF authors' format has one line per user: `(user,item)` and then the negatives, separated by tabs; ids are those
of the data file.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ncf.core import command_line
from ncf.core.arrays import LARGEST_FILE
from ncf.core.compose import compose
from ncf.core.config import component
from ncf.core.files import atomic
from ncf.core.outside import open_regular
from ncf.data import Split, read_split
from ncf.errors import ConfigError, DataError
from ncf.evaluation import EVALUATIONS, SampledRanking, test_targets, validation_targets

_PAIR = re.compile(r"\(([^,()]+),([^,()]+)\)")

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
"""users (N,), items (N,) and negatives (N, count): int64 indices."""


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.negatives", __doc__)
    options.add_overrides("as for training: data=ml-1m evaluation.negatives=99")
    options.add_argument("--output", type=Path, required=True, help=".npz file to write")
    options.add_argument(
        "--import", type=Path, dest="source", help="import from a .test.negative file of the NCF authors"
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    cfg = compose(["evaluation=sampled", *options.overrides], options.config_dir)
    evaluation = component("evaluation", EVALUATIONS, cfg.evaluation)()
    split = read_split(cfg)
    users, items, negatives = drawn(split, evaluation) if options.source is None else imported(split, options.source)
    try:
        with atomic(options.output) as file:
            np.savez(file, users=users, items=items, negatives=negatives)
    except OSError as error:
        raise ConfigError(f"output: cannot write {options.output} ({error.strerror})") from None
    print(f"{options.output}: {negatives.shape[1]} negatives for each of {len(users)} positives")


def drawn(split: Split, evaluation: SampledRanking) -> Arrays:
    """Return the negatives that `evaluation` draws for the validation and test positives."""
    parts = [validation_targets(split, "cpu"), test_targets(split, "cpu")]
    columns = zip(*((t.users, t.items, evaluation.negatives_of(t)) for t in parts), strict=True)
    users, items, negatives = (np.concatenate(column) for column in columns)
    return users, items, negatives


def imported(split: Split, path: Path) -> Arrays:
    """Return the negatives in a `.test.negative` file.

    Raises:
        DataError: the file cannot be read, or a line (named) is malformed, has another number of negatives than the
            first, or has an id that is not in the data.
    """
    try:
        with open_regular(path, LARGEST_FILE, DataError) as file:
            lines = file.read().decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"import: cannot read {path} ({error})") from None
    if not lines:
        raise DataError(f"{path}: expected one line per user, found an empty file")
    known = [{str(one): index for index, one in enumerate(ids.tolist())} for ids in (split.user_ids, split.item_ids)]
    rows = [_row(path, number, line, *known) for number, line in enumerate(lines, 1)]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise DataError(f"{path}, line {number}: expected {len(rows[0]) - 2} negatives, found {len(row) - 2}")
    table = np.array(rows, np.int64)
    return table[:, 0], table[:, 1], table[:, 2:]


def _row(path: Path, number: int, line: str, users: dict[str, int], items: dict[str, int]) -> list[int]:
    """Return the indices of the user, the positive and the negatives of one line."""
    head, *negatives = line.rstrip("\t").split("\t")
    pair = _PAIR.fullmatch(head)
    if pair is None or not negatives:
        raise DataError(f"{path}, line {number}: expected (user,item) and negatives separated by tabs, found {head!r}")
    for one, known, what in ((pair[1], users, "user"), *((i, items, "item") for i in (pair[2], *negatives))):
        if one not in known:
            raise DataError(f"{path}, line {number}: expected a {what} with positives in the data, found {one!r}")
    return [users[pair[1]], items[pair[2]], *(items[one] for one in negatives)]


if __name__ == "__main__":
    command_line.run(main)
