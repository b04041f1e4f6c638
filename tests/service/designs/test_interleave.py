"""All team drafts of two rankings: as `ncf.online.interleaving` draws them, and what they prefer."""

from collections import Counter

import numpy as np
import pytest
import torch
from toy_services import design, policy, service

from ncf.errors import ConfigError
from ncf.online.interleaving import team_draft
from ncf.service.designs.interleave import team_drafts


@pytest.mark.parametrize("places", [1, 3, 4])
def test_they_are_those_that_interleaving_draws(places: int) -> None:
    first, second = torch.tensor([[0, 1, 2, 3]])[:, :places], torch.tensor([[1, 4, 0, 5]])[:, :places]
    lists, teams = team_drafts(first, second, 6)
    exact = Counter((*row, *team) for row, team in zip(lists[0].tolist(), teams.tolist(), strict=True))
    draws = 20_000
    repeated = [np.repeat(order.numpy(), draws, 0) for order in (first, second)]
    found = team_draft(repeated, places, np.random.default_rng(1))
    drawn = Counter(map(tuple, np.hstack([found.items, found.credit[:, :, 1].astype(int)]).tolist()))
    assert drawn.keys() == exact.keys()
    for key, times in exact.items():
        p = times / len(teams)
        assert abs(drawn[key] / draws - p) <= 4 * (p * (1 - p) / draws) ** 0.5


def test_lists_that_cannot_be_merged_are_refused() -> None:
    for made, said in (
        (service(policy("plackett_luce")), r"^design\.interleave: expected policy=ranked"),
        (service(places=21, candidates=42), r"^design\.interleave: expected world\.places of at most 20, got 21$"),
    ):
        with pytest.raises(ConfigError, match=said):
            design("interleave").check(made)
