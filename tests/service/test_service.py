"""The truth: by going through every list and click, and by hand where effects grow."""

import itertools

import pytest
import torch
from toy_services import policy, service


@pytest.mark.parametrize("name", ["ranked", "plackett_luce", "epsilon_mixed"])
def test_the_value_of_a_policy_is_the_sum_over_all_its_lists(name: str) -> None:
    made = service(policy(name), base_users=4, candidates=6, places=3)
    lists = torch.tensor(list(itertools.permutations(range(6), 3)))
    attention = torch.tensor([1, 1 / 2, 1 / 3], dtype=torch.float64)
    for arm in (0, 1):
        for user in range(4):
            chance = made.policy.chance(made.scores(arm)[user].expand(len(lists), -1), lists)
            expected = chance @ (made.pool.relevance[user][lists] @ attention)
            assert float(made.values[arm][user]) == pytest.approx(float(expected), abs=1e-12)


def test_the_effect_is_the_mean_over_days_with_b() -> None:
    made = service(days=2, learning=0.5, half_life=1.0, trend=0.2, day_effect=0.0)
    a, b = (float(value.mean()) for value in made.values)
    first, second = 0.8 * (b - a), 1.2 * (1.25 * b - a)
    assert made.effect == pytest.approx((first + second) / 2)
    assert made.effect_of([0, 1], [1, 3]) == pytest.approx((first + second + 3 * 1.2 * (b - a)) / 5)
    assert made.undisturbed == pytest.approx(b - a)


def test_a_against_a_has_no_effect() -> None:
    assert service(noise_a=0.0, noise_b=0.0).effect == pytest.approx(0, abs=1e-15)
