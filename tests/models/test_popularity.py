"""Popularity scores an item by its training positives, for everyone alike."""

import torch
from toy_models import SPLIT, ready


def test_scores_are_counts_of_training_positives() -> None:
    counts = [int((SPLIT.train.items == item).sum()) for item in range(15)]
    assert ready("popularity").score(torch.tensor([3, 5])).tolist() == [counts, counts]


def test_an_item_that_nobody_has_in_training_counts_nought() -> None:
    counts = ready("popularity").score(torch.tensor([0]))[0]
    assert counts.shape == (15,)
    assert int(counts.sum()) == len(SPLIT.train)
