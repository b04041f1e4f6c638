"""Errors of predicted ratings: by hand, by scikit-learn, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error
from toys import random_split

from ncf.data.split import Pairs
from ncf.errors import DataError, TrainingError
from ncf.evaluation.ratings import HeldOutRatings, rating_errors, refuse_without_ratings


def held_out(rows: int = 50) -> HeldOutRatings:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 9, rows), rng.integers(0, 7, rows)
    return HeldOutRatings.of(Pairs(users, items, None, rng.integers(1, 6, rows).astype(np.float32)), "cpu")


def test_errors_by_hand() -> None:
    part = HeldOutRatings(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([4.0, 1.0]))
    found = rating_errors(lambda users, items: torch.tensor([3.0, 3.0]), part)
    assert found == {"mse": 2.5, "rmse": 2.5**0.5, "mae": 1.5}


def test_errors_are_those_of_scikit_learn() -> None:
    part = held_out()
    predicted = torch.rand(50, generator=torch.Generator().manual_seed(1)) * 4 + 1
    found = rating_errors(lambda users, items: predicted, part)
    mse = mean_squared_error(part.ratings.double(), predicted.double())
    assert found == pytest.approx({
        "mse": mse, "rmse": mse**0.5, "mae": mean_absolute_error(part.ratings.double(), predicted.double()),
    }, rel=1e-12)  # fmt: skip


def test_a_rating_that_is_not_finite_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"^rate: expected finite ratings, got NaN or inf$"):
        rating_errors(lambda users, items: torch.full(users.shape, torch.nan), held_out())


def test_ratings_that_are_missing_or_all_the_same_are_refused_in_one_line() -> None:
    split = random_split(6, 9)
    with pytest.raises(DataError, match=r"^toy: expected ratings, which this loss learns, found none$"):
        refuse_without_ratings(split)
    ones = replace(split, train=replace(split.train, ratings=np.ones(len(split.train), np.float32)))
    with pytest.raises(DataError, match=r"^toy: expected ratings that differ, .* found 1 in all \d+ .*$") as caught:
        refuse_without_ratings(ones)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"^ratings: expected held-out positives with ratings, found none$"):
        HeldOutRatings.of(split.test, "cpu")
