"""PureSVD against the dense singular value decomposition."""

import numpy as np
import pytest
import torch
from toy_models import SPLIT, dense_positives
from toys import random_split

from ncf.errors import ConfigError
from ncf.models.puresvd import PureSVD

EVERYONE = torch.arange(12)


def fitted(factors: int = 4) -> PureSVD:
    model = PureSVD(12, 15, factors=factors, power_iterations=None)
    model.fit(SPLIT)
    return model


@pytest.mark.parametrize("factors", [1, 4, 11])
def test_the_scores_are_the_best_approximation_of_their_rank(factors: int) -> None:
    left, values, right = np.linalg.svd(dense_positives())
    best = (left[:, :factors] * values[:factors]) @ right[:factors]
    np.testing.assert_allclose(fitted(factors).score(EVERYONE).numpy(), best, rtol=0, atol=1e-6)


def test_the_item_factors_are_orthonormal_the_leading_one_first() -> None:
    factors = fitted().item_factors.double()
    torch.testing.assert_close(factors.T @ factors, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-6)
    strengths = (torch.from_numpy(dense_positives()) @ factors).norm(dim=0)
    assert (strengths.diff() <= 1e-6).all()


def test_two_fits_are_equal_to_the_bit() -> None:
    assert torch.equal(fitted().item_factors, fitted().item_factors)


@pytest.mark.parametrize(("users", "items"), [(12, 15), (15, 12)])
def test_as_many_factors_as_the_matrix_has_rows_or_columns_are_refused(users: int, items: int) -> None:
    with pytest.raises(ConfigError, match=r"^model.factors: expected fewer than 12, .* got 12$"):
        PureSVD(users, items, factors=12, power_iterations=None)


def test_the_randomised_one_converges_to_the_same_scores_with_its_iterations() -> None:
    """On a matrix of more columns than the factors and what is drawn beyond them, where none would be exact."""
    split = random_split(60, 50)
    exact = PureSVD(60, 50, factors=3, power_iterations=None)
    exact.fit(split)
    errors = []
    for power_iterations in (0, 2, 10, 100):
        model = PureSVD(60, 50, factors=3, power_iterations=power_iterations)
        model.fit(split)
        errors.append(float((model.score(torch.arange(60)) - exact.score(torch.arange(60))).abs().max()))
    assert errors[0] > 10 * errors[2] > 0
    assert errors[3] < 1e-5
    again = PureSVD(60, 50, factors=3, power_iterations=100)
    again.fit(split)
    assert torch.equal(again.item_factors, model.item_factors)


def test_a_randomised_basis_is_no_wider_than_the_matrix() -> None:
    model = PureSVD(12, 15, factors=11, power_iterations=2)
    model.fit(SPLIT)
    torch.testing.assert_close(model.score(EVERYONE), fitted(11).score(EVERYONE), rtol=0, atol=1e-5)
