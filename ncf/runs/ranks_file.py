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
    try:
        table = pd.read_csv(path, dtype=str, na_filter=False, index_col=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: expected the ranks of a finished run ({reason})") from None
    if list(table) != HEADER:
        raise DataError(f"{path}, line 1: expected the header {','.join(HEADER)}, found {','.join(map(str, table))}")
    rank, candidates, tied = (pd.to_numeric(table[name], errors="coerce") for name in HEADER[3:])
    whole = (candidates % 1 == 0) & (tied % 1 == 0)
    bad = ~(whole & rank.between(1, candidates) & tied.between(1, candidates))
    if bad.any():
        raise DataError(f"{path}, line {bad.idxmax() + 2}: expected 1 <= rank, tied <= candidates, found otherwise")
    table = table.assign(rank=rank.astype(float), candidates=candidates.astype(int), tied=tied.astype(int))
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
