"""The k best of each row: by score, then by index, and the first of more."""

import numpy as np
import pytest
import torch

from ncf.evaluation.top import top


@pytest.mark.parametrize("levels", [1, 2, 5, 1000])
def test_it_is_a_stable_sort_cut_at_k(levels: int) -> None:
    scores = torch.randint(levels, (40, 23), generator=torch.Generator().manual_seed(levels)).float()
    order = np.argsort(-scores.numpy(), axis=1, kind="stable")
    for k in range(24):
        values, chosen = top(scores, k)
        assert np.array_equal(chosen.numpy(), order[:, :k])
        assert torch.equal(values, scores.gather(1, chosen))


def test_infinite_scores_have_their_place() -> None:
    scores = torch.tensor([[-torch.inf, 1.0, -torch.inf, torch.inf, -torch.inf]])
    assert top(scores, 4)[1].tolist() == [[3, 1, 0, 2]]


def test_no_rows_and_no_scores_are_none() -> None:
    assert top(torch.zeros(0, 5), 3)[1].shape == (0, 3)
    assert top(torch.zeros(2, 5), 0)[1].shape == (2, 0)
