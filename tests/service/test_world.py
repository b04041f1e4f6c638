"""Worlds: who is shown what, how relevance falls, factors of mean one, and settings that do not go together."""

from typing import Any

import pytest
import torch
from toy_services import SMALL, world

from ncf.errors import ConfigError, DataError
from ncf.service import Rankers, World
from ncf.service.policies import ranked

STREAM = torch.Generator().manual_seed(3)
FIRST, SECOND, LIKING = torch.randn(3, 8, 30, generator=STREAM, dtype=torch.float64)
SEEN = torch.rand(8, 30, generator=STREAM) < 0.2
RANKERS = Rankers(FIRST, SECOND, SEEN, lambda run: LIKING)


def trained(**keys: Any) -> World:
    return world("trained", **({"run": "c", "users": 40, "places": 4, "candidates": 9} | keys))


def test_both_rankers_show_what_they_would_without_a_pool() -> None:
    pool = trained().pool(RANKERS, 0)
    for scores, own in ((FIRST, pool.first), (SECOND, pool.second)):
        expected = scores.masked_fill(SEEN, -torch.inf).argsort(dim=1, descending=True)[:, :4]
        assert torch.equal(pool.items.gather(1, ranked(own, 4)), expected)
    assert not SEEN.gather(1, pool.items).any()
    assert all(len(set(row)) == 9 for row in pool.items.tolist())


def test_relevance_falls_with_the_place_in_the_third_run() -> None:
    pool = trained(highest=0.4, lowest=0.1, depth=2.0).pool(RANKERS, 0)
    order = LIKING.masked_fill(SEEN, -torch.inf).argsort(dim=1, descending=True).tolist()
    for user, items in enumerate(pool.items.tolist()):
        expected = [0.1 + 0.3 / (1 + order[user].index(item) / 2) for item in items]
        assert pool.relevance[user].tolist() == pytest.approx(expected, abs=1e-12)


def test_popularity_moves_relevance() -> None:
    popular = int(SEEN.sum(0).argmax())
    plain, moved = (trained(popularity=p, lowest=0.0).pool(RANKERS, 0) for p in (0.0, 10.0))
    held = plain.items == popular
    assert held.any()
    assert (moved.relevance[held] >= plain.relevance[held]).all()


def test_factors_of_days_have_mean_one_and_stay_in_their_bounds() -> None:
    made = world(**SMALL, trend=0.3, day_effect=0.2)
    for days in (1, 2, 9):
        factor = made.days(days, 5)
        assert float(factor.mean()) == pytest.approx(1, abs=1e-12)
        assert float((factor - 1).abs().max()) <= 0.5 + 1e-12
    assert made.days(9, 5)[-1] > made.days(9, 5)[0]


def test_half_of_learning_has_come_after_its_half_life() -> None:
    made = world(**SMALL, learning=0.5, satiation=0.1, half_life=4.0)
    assert made.familiarity(torch.tensor([0, 4, 8, 10_000])).tolist() == pytest.approx([1, 1.2, 1.3, 1.4])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"users": 0}, r"^world\.users: expected a value greater than or equal to 20, got 0$"),
        ({"candidates": 7}, r"^world\.candidates: expected at least 8, the places of two lists, got 7$"),
        ({"regions": 41}, r"^world\.regions: expected at most the 40 users, got 41$"),
        ({"run": ""}, r"^world\.run: expected the folder of a third finished run, got none$"),
        ({"lowest": 0.9}, r"^world\.lowest: expected at most world\.highest=0\.35, got 0\.9$"),
        ({"enthusiasm": 1.0}, r"^world\.enthusiasm: expected a value less than 1, got 1\.0$"),
    ],
)
def test_settings_out_of_range_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        trained(**keys)


def test_what_no_pool_can_be_made_of_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^run, against: expected the folders of two finished runs, got none$"):
        trained().pool(None, 0)
    with pytest.raises(DataError, match=r"^world\.candidates: expected at most \d+, what a user has not had, got 30$"):
        trained(candidates=30).pool(RANKERS, 0)
    certain = trained(highest=1.0)
    with pytest.raises(ConfigError, match=r"^world: expected chances of a click of at most 1, got up to 2\.\d+; lower"):
        certain.refuse_certain(certain.pool(RANKERS, 0))
