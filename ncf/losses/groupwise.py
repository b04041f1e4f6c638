"""Losses that compare a positive with its own negatives: pairwise, or as a softmax over all.

Columns without a loss of their own are zero and count in the mean that training takes.
"""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ncf.data.batch import Batch
from ncf.losses.base import BatchLoss, Needed, refuse_ungrouped


@dataclass(frozen=True, kw_only=True)
class BPR:
    """Bayesian personalised ranking (Rendle et al. 2009, section 4.1): -log sigmoid(x_0 - x_j) for each negative j."""

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): that of a pair in the column of its negative; column 0 is zero."""
        refuse_ungrouped(logits)
        pairs = F.softplus(logits[..., 1:] - logits[..., :1])
        return torch.cat([torch.zeros_like(logits[..., :1]), pairs], dim=-1)


@dataclass(frozen=True, kw_only=True)
class SampledSoftmax:
    """-log of the positive's softmax probability among itself and its negatives.

    With `candidates` C, each negative represents C / K items: the logQ correction for uniform draws, in which an item
    is expected K / C times (Bengio and Senecal 2008; Yi et al. 2019). None: no correction. `LogQSoftmax` corrects for
    any sampler.
    """

    candidates: Annotated[int, Field(ge=1)] | None

    def __call__(self, logits: Tensor) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): column 0 has the loss, the other columns are zero."""
        refuse_ungrouped(logits)
        negatives = logits[..., 1:]
        if self.candidates is not None:
            negatives = negatives + math.log(self.candidates / negatives.shape[-1])
        return _softmax_loss(logits[..., :1], negatives)


@dataclass(frozen=True, kw_only=True)
class LogQSoftmax(BatchLoss):
    """Sampled softmax in which a negative that the sampler draws with probability q represents 1 / (K q) items.

    The logQ correction (Bengio and Senecal 2008; Yi et al. 2019) for any sampler, with each user's own probabilities.
    For uniform draws it equals `SampledSoftmax` with `candidates` the user's number of possible negatives.
    """

    needs: ClassVar[frozenset[Needed]] = frozenset({"log_probs"})

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """logits (B, 1+K) -> losses (B, 1+K): column 0 has the loss, the other columns are zero."""
        refuse_ungrouped(logits)
        assert batch.log_probs is not None
        negatives = logits[..., 1:]
        return _softmax_loss(logits[..., :1], negatives - batch.log_probs - math.log(negatives.shape[-1]))


def _softmax_loss(positive: Tensor, negatives: Tensor) -> Tensor:
    """Return (B, 1+K): column 0 is logsumexp(positive (B, 1), negatives (B, K)) - positive, the others are zero."""
    total = torch.cat([positive, negatives], dim=-1).logsumexp(-1, keepdim=True)
    return torch.cat([total - positive, torch.zeros_like(negatives)], dim=-1)
