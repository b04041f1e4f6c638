"""Rank reversals between full and sampled ranking, on tables with a known answer."""

import numpy as np
import pandas as pd
import pytest
from made_up import registration

from ncf.report.sections.protocol import RankReversals, protocols, rank_reversals, sampled
from ncf.report.study import NotRunError, Study


def two_losses(full: list[float], among: list[float]) -> Study:
    """BCE and focal at 1:4, a value for each of three seeds."""
    rows = [
        {"run": f"{loss}{seed}", "model": "neumf", "loss": loss, "gamma": gamma, "alpha": alpha, "neg_ratio": 4,
         "seed": seed, "test/ndcg@10": full.pop(0)}
        for loss, gamma, alpha in (("bce", np.nan, np.nan), ("focal", 2.0, 0.25)) for seed in (42, 43, 44)
    ]  # fmt: skip
    runs = pd.DataFrame(rows)
    return Study(registration(), runs, {}, {"sampled": pd.DataFrame({"run": runs["run"], "ndcg@10": among})})


def test_pairs_whose_order_differs_are_reversed_and_ties_are_left_out() -> None:
    study = two_losses(full=[1.0, 1.0, 1.0, 2.0, 2.0, 1.0], among=[5.0, 5.0, 5.0, 6.0, 4.0, 9.0])
    assert rank_reversals(study) == {4: RankReversals(reversed=1, pairs=2)}
    assert protocols(study).rows == [["1:4", "2", "1", "50%"]]


def test_the_figure_counts_what_the_table_counts(study: Study) -> None:
    titles = [ax.get_title() for ax in sampled(study).figure.axes]
    assert titles == [f"{r[0]}: {r[2]} of {r[1]} pairs flip ({r[3]})" for r in protocols(study).rows]
    assert len(titles) == 3


def test_without_ranks_nothing_is_counted(study: Study) -> None:
    without = Study(study.registration, study.runs, {}, {"sampled": pd.DataFrame()})
    assert rank_reversals(without) == {}
    for make in (protocols, sampled):
        with pytest.raises(NotRunError, match="the ranks of the runs"):
            make(without)
