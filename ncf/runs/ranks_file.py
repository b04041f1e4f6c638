"""`ranks.csv`: the rank of every evaluated positive, written once by a run and read by whatever comes later."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ncf.core.config import component
from ncf.core.files import write_text
from ncf.data.split import Split
from ncf.errors import DataError
from ncf.evaluation import EVALUATIONS, FullRanking, Ranks
from ncf.runs.artifacts import RANKS, RESULT

HEADER = ["split", "user_id", "item_id", "rank", "candidates", "tied"]


def write_ranks(folder: Path, split: Split, ranks: Mapping[str, Ranks]) -> None:
    """A row an evaluated positive, raw ids; `rank` is the average over ties, `tied` how many share the score."""
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
    """The rows of one part, "valid" or "test": user_id and item_id as text, rank, candidates, tied.

    Raises:
        DataError: the file is missing, or not what `write_ranks` writes.
    """
    path = folder / RANKS
    types = {"split": str, "user_id": str, "item_id": str, "rank": float, "candidates": int, "tied": int}
    try:
        with path.open() as file:
            if next(csv.reader(file), None) != HEADER:
                raise ValueError(f"expected the header {','.join(HEADER)}")
            table = pd.read_csv(file, names=HEADER, dtype=types, na_filter=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the ranks of a finished run ({error})") from None
    bad = ~(table["rank"].between(1, table["candidates"]) & table["tied"].between(1, table["candidates"]))
    if bad.any():
        raise DataError(f"{path}, line {bad.idxmax() + 2}: expected 1 <= rank, tied <= candidates, found otherwise")
    table = table[table["split"] == part].drop(columns="split").reset_index(drop=True)
    if table.empty:
        raise DataError(f"{path}: expected rows of {part}, found none")
    return table


def counted(table: pd.DataFrame) -> Ranks:
    """The counts that rows of `read_ranks` stand for; their users and items are the numbers of the rows."""
    rank, tied, candidates = (torch.tensor(table[name].to_numpy()) for name in ("rank", "tied", "candidates"))
    rows = torch.arange(len(table))
    return Ranks(rows, rows, (rank.double() - (tied.double() + 1) / 2).round().long(), tied, candidates)


def metrics_of(folder: Path, table: pd.DataFrame, result: Mapping[str, Any], part: str) -> pd.DataFrame:
    """A column a metric, computed for each row of `read_ranks` as the run's evaluation computes it.

    Raises:
        DataError: their means are not the metrics in `result`.
    """
    evaluation: FullRanking = component("evaluation", EVALUATIONS, result["config"]["evaluation"])()
    values = evaluation.per_positive(counted(table))
    metrics = pd.DataFrame({name: value.numpy() for name, value in values.items()})
    told = result[part]
    if not all(np.isclose(metrics[n].mean(), told[n], rtol=0, atol=1e-9) for n in metrics if n in told):
        raise DataError(f"{folder / RANKS}: its {part} ranks do not give the metrics in {RESULT}")
    return metrics
