"""The k best of each row, the same whatever k is: by score, and equal scores by their lower index."""

import torch
from torch import Tensor


def top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return values and indices (B, k) of the k highest of scores (B, I), best first; equal ones by lower index.

    `torch.topk` alone takes any of several equal scores, and others for another k. Scores must not be NaN; k is at
    most I.
    """
    if k == 0:
        return scores[:, :0], torch.empty((len(scores), 0), dtype=torch.int64, device=scores.device)
    more, chosen = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    chosen = chosen[:, :k].clone()
    if more.shape[1] > k and bool((tied := more[:, k - 1] == more[:, k]).any()):  # the cut is among equal scores
        chosen[tied] = _lowest(scores[tied], more[tied, k - 1 : k], k)
    chosen = chosen.sort(dim=1).values
    values, order = scores.gather(1, chosen).sort(dim=1, descending=True, stable=True)
    return values, chosen.gather(1, order)


def _lowest(scores: Tensor, last: Tensor, k: int) -> Tensor:
    """Return indices (B, k) of all scores above `last` (B, 1), and of the first of those equal to it."""
    above, equal = scores > last, scores == last
    room = k - above.sum(dim=1, keepdim=True)
    taken = above | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= room))
    return taken.nonzero()[:, 1].view(len(scores), k)
