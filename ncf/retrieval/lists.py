"""What lists are like beside how well they rank: variety, novelty, surprise, and the user's own mixture of genres."""

import numpy as np
import torch
from torch import Tensor

from ncf.evaluation import beyond_accuracy
from ncf.retrieval.calibrated import divergence
from ncf.retrieval.genres import shares
from ncf.retrieval.similarity import Similarity


def ndcg(relevant: Tensor, positives: Tensor) -> Tensor:
    """Return NDCG (B,) of lists: `relevant` (B, K) bool, and how many held-out `positives` each user has (B,)."""
    discounts = 1 / torch.log2(torch.arange(relevant.shape[1], dtype=torch.float64) + 2)
    ideal = torch.cat([discounts.new_zeros(1), discounts.cumsum(0)])
    return (relevant * discounts).sum(1) / ideal[positives.clamp(max=relevant.shape[1])]


def intra_list_similarity(items: Tensor, there: Tensor, similarity: Similarity) -> Tensor:
    """Return the mean similarity of two items of a list (B,); NaN for a list of fewer than two (Ziegler et al. 2005).

    Args:
        items: (B, K).
        there: (B, K) bool, which places hold an item.
    """
    near = similarity.among(items)
    total = torch.zeros(len(items), dtype=torch.float64)
    for place in range(1, items.shape[1]):  # each pair once
        alike = near(torch.full((len(items),), place)).double() * (there & there[:, place : place + 1])
        total += alike[:, :place].sum(1)
    count = there.sum(1)
    return total / (count * (count - 1) / 2)


def serendipity(items: Tensor, relevant: Tensor, expected: Tensor) -> Tensor:
    """Return the share of a list (B,) that is relevant and not `expected` (B, K): Ge et al. 2010.

    Args:
        items: (B, K).
        relevant: (B, K) bool.
        expected: the list that everyone would expect, of the items most popular among those the user does not have.
    """
    surprising = ~(items[:, :, None] == expected[:, None, :]).any(2)
    return (surprising & relevant).double().mean(1)


def miscalibration(items: Tensor, there: Tensor, genres: Tensor, tastes: Tensor) -> Tensor:
    """Return KL(p || q~) (B,) of the users' mixtures of genres p and those of their lists (Steck 2018, eq. 6).

    Args:
        items: (B, K).
        there: (B, K) bool, which places hold an item.
        genres: (I, G), 1 where an item has a genre.
        tastes: (B, G), p.
    """
    mixture = (shares(genres)[items] * there[:, :, None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
    return divergence(tastes, mixture)


def of_catalogue(items: Tensor, there: Tensor, popularity: np.ndarray, num_users: int) -> dict[str, float]:
    """Return coverage, Gini index, novelty and popularity of lists (B, K), by training positives (I,)."""
    counts = np.bincount(items[there].numpy(), minlength=len(popularity))
    return {
        "coverage": beyond_accuracy.coverage(counts),
        "gini": beyond_accuracy.gini(counts),
        "novelty": beyond_accuracy.novelty(counts, popularity, num_users),
        "popularity": beyond_accuracy.average_popularity(counts, popularity),
    }
