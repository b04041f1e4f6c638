"""The figures of a data set and its split, by hand."""

import dataclasses

import numpy as np
from data_helpers import interactions_of

from ncf.data.interactions import Counts
from ncf.data.split import Pairs
from ncf.data.splitting import leave_one_out
from ncf.data.statistics import describe, table

TIED = "users whose last two positives have the same time (see split.ties)"
DATA = interactions_of([(0, 0, 1), (0, 1, 2), (0, 2, 2), (1, 0, 1), (1, 3, 5), (2, 1, 1)])


def test_figures_by_hand() -> None:
    data = dataclasses.replace(DATA, before=Counts(ratings=20, users=5, items=9))
    figures = describe(data, leave_one_out(data, ties="file", back=0))
    assert figures == {
        "ratings": 20,
        "users with ratings": 5,
        "items with ratings": 9,
        "positives": 6,
        "users with positives": 3,
        "items with positives": 4,
        "users dropped (no positive, or fewer than data.min_user_positives)": 2,
        "items dropped (no positive, or fewer than data.min_item_positives)": 5,
        "density: positives among all pairs of user and item, in percent": 50.0,
        "pairs of user and item that are no positive, per positive": 1.0,
        "median positives per user": 2.0,
        "median positives per item": 1.5,
        "users with one positive only": 1,
        "users whose last two positives have the same time (see split.ties)": 1,
        "positives in train": 3,
        "positives in validation": 1,
        "positives in test": 2,
        "positives in test whose item is not in train": 2,
        "leakage: test positives with later ones in train, of any user": 0,
        "leakage: train later than a test positive, in percent (median over test)": 0.0,
    }


def test_a_file_without_ratings_has_interactions() -> None:
    figures = describe(DATA, leave_one_out(DATA, ties="file", back=0), "interactions")
    assert [name for name in figures if "ratings" in name] == []
    assert {"interactions", "users with interactions", "items with interactions"} <= set(figures)


def test_the_future_of_others_is_counted() -> None:
    data = interactions_of([(0, 0, 1), (0, 1, 2), (1, 1, 3), (1, 0, 9), (2, 0, 2), (2, 2, 8)])
    figures = describe(data, leave_one_out(data, ties="file", back=0))  # train at 1, 3 and 2; test at 2, 9 and 8
    assert figures["leakage: test positives with later ones in train, of any user"] == 1
    assert figures["leakage: train later than a test positive, in percent (median over test)"] == 0
    untimed = dataclasses.replace(leave_one_out(data, ties="file", back=0), train=Pairs(data.users[:1], data.items[:1]))
    assert "leakage: test positives with later ones in train, of any user" not in describe(data, untimed)


def test_within_a_second_too() -> None:
    second = interactions_of([(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1)])
    assert describe(second, leave_one_out(second, ties="file", back=0))[TIED] == 2
    data = dataclasses.replace(second, subseconds=np.array([1, 2, 3, 9], np.int32))
    figures = describe(data, leave_one_out(data, ties="file", back=0))  # train at 1 and 3, test at 2 and 9
    assert figures[TIED] == 0
    assert figures["leakage: test positives with later ones in train, of any user"] == 1


def test_a_test_item_in_train_is_no_unseen_one() -> None:
    data = interactions_of([(0, 0, 1), (0, 1, 2), (1, 1, 1), (1, 0, 2), (2, 0, 1), (2, 2, 2)])
    split = leave_one_out(data, ties="file", back=0)
    assert np.array_equal(split.test.items, [1, 0, 2])
    assert describe(data, split)["positives in test whose item is not in train"] == 1


def test_the_table_has_a_line_a_figure_its_numbers_aligned() -> None:
    assert table({"positives": 55375, "density": 0.0406237}) == (
        "positives        55,375\n"
        "density         0.04062"
    )  # fmt: skip
