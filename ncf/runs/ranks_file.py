"""`ranks.csv`: the rank of every evaluated positive, written by a run and read by everything after it."""

import contextlib
import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import torch

from ncf.core.config import component
from ncf.core.files import write_text
from ncf.core.outside import MEGABYTE, open_regular
from ncf.data.split import Split
from ncf.errors import DataError
from ncf.evaluation import EVALUATIONS, FullRanking, Ranks
from ncf.runs.artifacts import RANKS, RESULT
from ncf.runs.identity import completed

HEADER = ["split", "user_id", "item_id", "rank", "candidates", "tied"]

_LARGEST = 4096 * MEGABYTE
_LONGEST_LINE = 64 * 1024
_MOST_LOOKED_THROUGH = 1_000_000  # lines, for the number of the first invalid one


def write_ranks(folder: Path, split: Split, ranks: Mapping[str, Ranks]) -> None:
    """Write a row per evaluated positive, with raw ids; `rank` is averaged over the `tied` items of equal score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for part, r in ranks.items():
        users, items = split.user_ids[r.users.numpy()].tolist(), split.item_ids[r.items.numpy()].tolist()
        average = [f"{rank:g}" if rank < 1e5 else repr(rank) for rank in r.average.tolist()]
        rows = zip(users, items, average, r.candidates.tolist(), r.tied.tolist(), strict=True)
        writer.writerows((part, *row) for row in rows)
    write_text(folder / RANKS, text.getvalue())


def read_ranks(folder: Path, part: str) -> pd.DataFrame:
    """Return the rows of one part, "valid" or "test": user_id and item_id as text, rank, candidates, tied.

    Raises:
        DataError: the file is missing or not as `write_ranks` writes it.
    """
    path = folder / RANKS
    types = {"split": str, "user_id": str, "item_id": str, "rank": float, "candidates": int, "tied": int}
    try:
        with _opened(path) as file:
            if next(csv.reader([file.readline(_LONGEST_LINE)]), None) != HEADER:
                raise ValueError(f"expected the header {','.join(HEADER)}")
            table = pd.read_csv(file, names=HEADER, dtype=types, na_filter=False)
            if not isinstance(table.index, pd.RangeIndex):  # pandas makes an extra column the index
                raise ValueError(f"expected {len(HEADER)} columns")
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split())
        raise DataError(f"{path}{_where(path)}: expected the ranks of a finished run ({reason})") from None
    bad = ~(table["rank"].between(1, table["candidates"]) & table["tied"].between(1, table["candidates"]))
    if bad.any():
        raise DataError(f"{path}, line {bad.idxmax() + 2}: expected rank and tied between 1 and candidates")
    table = table[table["split"] == part].drop(columns="split").reset_index(drop=True)
    if table.empty:
        raise DataError(f"{path}: expected rows of split {part!r}, found none")
    return table


def _opened(path: Path, errors: str = "strict") -> TextIO:
    """Open the file as text. Raises FileNotFoundError, or DataError if it is no regular file or very large."""
    return io.TextIOWrapper(open_regular(path, _LARGEST, DataError), "utf-8", errors, "")


def _where(path: Path) -> str:
    """Locate the first invalid line for an error message, as ", line 3"; return "" if there is none."""
    with contextlib.suppress(OSError, DataError, csv.Error), _opened(path, "replace") as file:
        lines = iter(lambda: file.readline(_LONGEST_LINE), "")
        for number, row in enumerate(itertools.islice(csv.reader(lines), _MOST_LOOKED_THROUGH), 1):
            if not _sound(number, row):
                return f", line {number}"
    return ""


def _sound(number: int, row: list[str]) -> bool:
    try:
        _, _, _, rank, candidates, tied = row
        return row == HEADER if number == 1 else max(float(rank), int(tied)) <= int(candidates)
    except ValueError:
        return False


def counted(table: pd.DataFrame) -> Ranks:
    """Convert rows of `read_ranks` back to `Ranks`; users are numbered as they come, and items are row numbers."""
    rank, tied, candidates = (torch.tensor(table[name].to_numpy()) for name in ("rank", "tied", "candidates"))
    users, rows = torch.from_numpy(pd.factorize(table["user_id"])[0]).long(), torch.arange(len(table))
    return Ranks(users, rows, (rank.double() - (tied.double() + 1) / 2).round().long(), tied, candidates)


def evaluation_of(result: Mapping[str, Any]) -> FullRanking:
    """Return the evaluation that ranked the run with this result."""
    evaluation: FullRanking = component("evaluation", EVALUATIONS, completed(result["config"])["evaluation"])()
    return evaluation


def metrics_of(folder: Path, table: pd.DataFrame, result: Mapping[str, Any], part: str) -> pd.DataFrame:
    """Return a column per metric, computed for each row of `read_ranks` as the run's evaluation does.

    A user with several positives has the mean over the user's rows.

    Raises:
        DataError: their means over the users differ from the metrics in `result`.
    """
    ranks = counted(table)
    values = evaluation_of(result).per_positive(ranks)
    metrics = pd.DataFrame({name: value.numpy() for name, value in values.items()})
    reported = result[part]
    if not all(np.isclose(ranks.mean(v), reported[n], rtol=0, atol=1e-9) for n, v in values.items() if n in reported):
        raise DataError(f"{folder / RANKS}: its {part} ranks do not reproduce the metrics in {RESULT}")
    return metrics
