"""Policies: chances of lists, of items at places, and draws, say the same."""

import itertools

import pytest
import torch
from toy_services import policy

from ncf.errors import ConfigError

SCORES = torch.tensor([[0.5, 2.0, -1.0, 0.1], [0.0, 0.0, 3.0, 1.0]], dtype=torch.float64)
NAMES = ["ranked", "plackett_luce", "epsilon_mixed"]


@pytest.mark.parametrize("name", NAMES)
def test_chances_of_items_at_places_are_sums_of_those_of_lists(name: str) -> None:
    shown = policy(name)
    for places in (1, 2, 4):
        lists = torch.tensor(list(itertools.permutations(range(4), places)))
        for scores, marginals in zip(SCORES, shown.marginals(SCORES, places), strict=True):
            chance = shown.chance(scores.expand(len(lists), -1), lists)
            assert float(chance.sum()) == pytest.approx(1, abs=1e-12)
            places_of = torch.nn.functional.one_hot(lists, 4).double() * chance[:, None, None]
            torch.testing.assert_close(places_of.sum(0).T, marginals, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_draws_come_as_often_as_they_should(name: str) -> None:
    shown, draws = policy(name), 20_000
    lists = shown.draw(SCORES[:1].expand(draws, -1), 3, torch.Generator().manual_seed(1))
    assert all(len(set(row)) == 3 for row in lists[:100].tolist())
    found = torch.stack([(lists == item).double().mean(0) for item in range(4)])
    expected = shown.marginals(SCORES[:1], 3)[0]
    error = (expected * (1 - expected) / draws).clamp(min=0).sqrt()
    assert ((found - expected).abs() <= 4 * error + 1e-12).all()
    assert shown.fixed == (name == "ranked")


def test_of_equal_scores_the_first_comes_first() -> None:
    assert policy().draw(SCORES[1:], 4, torch.Generator()).tolist() == [[2, 3, 0, 1]]


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused_by_its_key(value: float) -> None:
    with pytest.raises(ConfigError, match=r"^policy\.temperature: expected "):
        policy("plackett_luce", temperature=value)
