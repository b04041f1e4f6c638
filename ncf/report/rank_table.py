"""Ranks of many runs in one small table, from which anyone can make the statistics over users again.

A row is an evaluated positive, a column a run. Users are numbered in the order of their ids, and neither items nor
ratings are in it. A cell is the positive's rank among `candidates` items; where items share its score, the average of
their ranks, a colon, and how many they are: "13", or "13.5:2".
"""

import numpy as np
import pandas as pd

from ncf.errors import DataError

KEYS = ["user", "candidates"]
"""The columns that are no run."""


def packed(positives: pd.DataFrame) -> pd.DataFrame:
    """Return the table of runs that ranked the same positives.

    Args:
        positives: a row a run and positive: run, user_id, item_id, rank, candidates, tied.

    Raises DataError if runs differ in positives or candidates.
    """
    same = positives.groupby(["user_id", "item_id"], sort=True)["candidates"].agg(["size", "min", "max"])
    if (same["size"] != positives["run"].nunique()).any() or (same["min"] != same["max"]).any():
        raise DataError("ranks: expected the same positives and candidates in all runs, found others in some")
    text = positives["rank"].map("{:.16g}".format)
    shared = positives["tied"] > 1
    text = text.where(~shared, text + ":" + positives["tied"].astype(str))
    wide = positives.assign(cell=text).pivot(index=["user_id", "item_id"], columns="run", values="cell")
    users = pd.factorize(wide.index.get_level_values("user_id"))[0]
    keys = pd.DataFrame(dict(zip(KEYS, (users, same["min"].to_numpy()))))
    return pd.concat([keys, wide.reset_index(drop=True)], axis=1)


def unpacked(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run and positive: run, user, candidates, rank, tied.

    Raises DataError for a cell that `packed` does not write.
    """
    runs = [column for column in table.columns if column not in KEYS]
    cells = table[runs].astype(str).to_numpy().T.ravel()  # run by run
    rank, colon, tied = np.char.partition(cells.astype(str), ":").T
    try:
        long = pd.DataFrame(
            {
                "run": np.repeat(runs, len(table)),
                **{key: np.tile(table[key].astype(int).to_numpy(), len(runs)) for key in KEYS},
                "rank": rank.astype(float),
                "tied": np.where(colon == "", "1", tied).astype(int),
            }
        )
    except ValueError as error:
        raise DataError(f"ranks: expected cells such as 13 or 13.5:2 ({error})") from None
    within = long["rank"].between(1, long["candidates"]) & long["tied"].between(1, long["candidates"])
    if not within.all():
        bad = long[~within].iloc[0]
        raise DataError(f"ranks: expected a rank between 1 and the candidates, got {bad['rank']:g} of {bad['run']}")
    return long
