"""A hybrid of two models: what is mixed, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from toy_models import ITEMS, USERS, model_keys, ready

from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.models import MODELS, Hybrid
from ncf.models.hybrid import scaled

EVERYONE = torch.arange(USERS)


def made(alpha: float, **changed: Any) -> Hybrid:
    model: Hybrid = component("model", MODELS, model_keys("hybrid") | changed)(USERS, ITEMS)
    model.take([ready(part).state_dict() for part in ("ease", "gmf")], alpha)
    return model


def test_scores_of_a_user_get_mean_nought_and_deviation_one_or_run_from_nought_to_one() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [-torch.inf, 0.0, 4.0]])
    z = scaled(scores, "zscore")
    np.testing.assert_allclose(z[0].numpy(), np.array([-1, 1, 0]) / np.sqrt(2 / 3), rtol=1e-6)
    assert z[1].tolist() == [0, 0, 0]
    assert z.isfinite().all()
    assert scaled(scores, "minmax").tolist() == [[0, 1, 0.5], [0, 0, 0], [0, 0, 1]]
    assert scaled(scores[:0], "zscore").shape == (0, 3)


@pytest.mark.parametrize("scale", ["zscore", "minmax"])
def test_the_score_is_the_weighted_mean_of_both(scale: Any) -> None:
    first, second = (scaled(ready(part).score(EVERYONE), scale).detach() for part in ("ease", "gmf"))
    torch.testing.assert_close(made(0.3, scale=scale).score(EVERYONE), 0.3 * first + 0.7 * second)


def test_at_the_ends_it_ranks_as_one_part() -> None:
    for alpha, part in ((1.0, "ease"), (0.0, "gmf")):
        expected = ready(part).score(EVERYONE).argsort(1)
        assert torch.equal(made(alpha).score(EVERYONE).argsort(1), expected)


def test_it_needs_its_parts() -> None:
    model: Hybrid = component("model", MODELS, model_keys("hybrid"))(USERS, ITEMS)
    with pytest.raises(ConfigError, match=r"^model=hybrid: expected the weights of its two parts, found none$"):
        model.fit(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"alpha": 1.5}, r"^model\.alpha: expected a value less than or equal to 1, got 1\.5$"),
        ({"parts": ["a"]}, r"^model\.parts: .*at least 2"),
        ({"scale": "rank"}, r"^model\.scale: expected 'zscore' or 'minmax', got 'rank'$"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        component("model", MODELS, model_keys("hybrid") | changed)


@pytest.mark.parametrize("scale", ["zscore", "minmax"])
@pytest.mark.parametrize("power", [-120, -80, 3, 70, 120])
def test_the_unit_of_the_scores_does_not_matter(scale: Any, power: int) -> None:
    """Squares of 2^80 are beyond float32, and those of 2^-80 below it."""
    scores = torch.tensor([[1.0, 3.0, 2.5, -1.0], [0.0, 0.0, 5.0, 1.0]])
    assert torch.equal(scaled(scores * 2.0**power, scale), scaled(scores, scale))


@pytest.mark.parametrize("scale", ["zscore", "minmax"])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_no_score_is_not_taken_for_the_lowest(scale: Any, wrong: float) -> None:
    assert scaled(torch.tensor([[1.0, wrong, 2.0], [1.0, 0.0, 2.0]]), scale).isnan().any(1).tolist() == [True, False]
