"""Chances of items at places of a Plackett-Luce list: against all lists, sums, limits, many items."""

import itertools

import pytest
import torch

from ncf.service.plackett_luce import places_of


def by_lists(logits: torch.Tensor, places: int) -> torch.Tensor:
    """The same, by going through every list."""
    found = torch.zeros(len(logits), places, dtype=torch.float64)
    for order in itertools.permutations(range(len(logits)), places):
        chance, left = 1.0, logits.exp().clone()
        for item in order:
            chance *= float(left[item] / left.sum())
            left[item] = 0
        for place, item in enumerate(order):
            found[item, place] += chance
    return found


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0, 20.0])
def test_they_are_the_sums_over_all_lists(spread: float) -> None:
    logits = spread * torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for places in (1, 3, 6):
        found = places_of(logits, places)
        for own, row in zip(found, logits, strict=True):
            torch.testing.assert_close(own, by_lists(row, places), rtol=0, atol=1e-13)


def test_every_place_has_an_item_and_every_item_a_place() -> None:
    logits = 3 * torch.randn(2, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = places_of(logits, 30)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 30, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.sum(2), torch.ones(2, 30, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_first_place_is_a_softmax_and_far_apart_logits_a_ranking() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(places_of(logits, 1)[:, :, 0], torch.softmax(logits, 1), rtol=0, atol=1e-14)
    expected = torch.tensor([[[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]], dtype=torch.float64)
    torch.testing.assert_close(places_of(40 * logits, 3), expected, rtol=0, atol=1e-13)
