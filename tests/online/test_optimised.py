"""Optimised interleaving against published designs; clicks at random are in test_interleaving.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from ncf.online.optimised import optimised
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "interleaving.json").read_text())
A, B = [0, 1, 2, 3], [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("credit", "key"), [("linear", "linear: rank_A - rank_B"), ("inverse", "inverse: 1/rank_B - 1/rank_A")]
)
def test_the_optimised_design_is_the_published_one(credit: str, key: str) -> None:
    expected = REFERENCE[f"optimised_interleaving abcd vs bcda {key}"]
    design = optimised(np.array(A), np.array(B), 4, credit=credit)  # type: ignore[arg-type]
    assert design.unbiased == expected["feasible"]
    names = ["".join("abcd"[i] for i in row) for row in design.lists]
    assert dict(zip(names, design.probabilities, strict=True)) == pytest.approx(expected["lists"], abs=1e-9)
    for row, worth in zip(names, design.credit, strict=True):
        np.testing.assert_allclose(worth, [expected["credit_to_B"][item] for item in row], atol=1e-12)
    np.testing.assert_allclose(design.probabilities @ design.credit, 0, atol=1e-9)


def test_where_no_design_is_unbiased_it_says_so() -> None:
    design = optimised(np.array([0, 1]), np.array([1, 0]), 1, credit="linear")
    assert design.unbiased
    impossible = optimised(np.array([0, 1, 2]), np.array([0, 1, 3]), 3, credit="linear")
    assert impossible.probabilities.sum() == pytest.approx(1)
    assert impossible.unbiased == np.allclose(impossible.probabilities @ impossible.credit, 0)


def test_where_there_is_a_choice_the_most_sensitive_unbiased_design_is_taken() -> None:
    a, b = np.array([0, 1, 2, 3, 4]), np.array([1, 0, 3, 2, 4])
    design = optimised(a, b, 4)
    assert design.unbiased
    np.testing.assert_allclose(design.probabilities @ design.credit, 0, atol=1e-9)
    squares = (design.credit**2 / np.arange(1, 5)).sum(1)
    rng, best = np.random.default_rng(0), design.probabilities @ squares
    basis = np.linalg.svd(np.vstack([np.ones(len(squares)), design.credit.T]))[2]
    free = basis[np.linalg.matrix_rank(np.vstack([np.ones(len(squares)), design.credit.T])) :]
    for _ in range(200):  # other unbiased distributions
        other = design.probabilities + rng.normal(size=len(free)) @ free * 0.1
        if (other >= 0).all():
            assert other @ squares <= best + 1e-9


def test_what_allows_too_many_lists_or_no_credit_is_refused() -> None:
    with pytest.raises(StatisticsError, match="at most 4,096 lists"):
        optimised(np.arange(40), np.arange(40)[::-1], 20)
    with pytest.raises(StatisticsError, match="credit"):
        optimised(np.array(A), np.array(B), 4, credit="x")  # type: ignore[arg-type]
