"""The one meaning of `alpha: balanced`."""

import pytest

from ncf.core.balance import resolve_alpha


@pytest.mark.parametrize(("neg_ratio", "alpha"), [(1, 1 / 2), (4, 4 / 5), (10, 10 / 11), (50, 50 / 51)])
def test_balanced_gives_the_positive_the_weight_of_all_its_negatives_together(neg_ratio: int, alpha: float) -> None:
    found = resolve_alpha("balanced", neg_ratio)
    assert found == alpha
    assert found == pytest.approx(neg_ratio * (1 - found))


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1])
def test_a_number_stays_what_it_is_at_any_ratio(alpha: float) -> None:
    assert {resolve_alpha(alpha, neg_ratio) for neg_ratio in (1, 4, 50)} == {float(alpha)}
    assert type(resolve_alpha(alpha, 4)) is float
