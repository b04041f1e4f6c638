"""Losses of a positive beside its own negatives: pairs, and the group as a whole."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ncf.data.batch import Batch
from ncf.losses.base import BatchLoss, Needed


@dataclass(frozen=True, kw_only=True)
class BPR:
    """Bayesian personalised ranking (Rendle et al. 2009, section 4.1): -log sigmoid(x_0 - x_j) for each negative j."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Losses (B, 1+K) of logits (B, 1+K): a pair's stands at its negative, column 0 is zero."""
        pairs = F.softplus(logits[..., 1:] - logits[..., :1])
        return torch.cat([torch.zeros_like(logits[..., :1]), pairs], dim=-1)


@dataclass(frozen=True, kw_only=True)
class SampledSoftmax:
    """-log of the positive's softmax among itself and its negatives.

    With `candidates` C, each negative stands for C / K items: the logQ correction of uniform draws, which are expected
    to hold an item K / C times (Bengio and Senecal 2008; Yi et al. 2019). None: a negative stands for itself.
    `LogQSoftmax` corrects for any sampler.
    """

    candidates: Annotated[int, Field(ge=1)] | None

    def __call__(self, logits: Tensor) -> Tensor:
        """Losses (B, 1+K) of logits (B, 1+K): a group's stands at its positive, the other columns are zero."""
        negatives = logits[..., 1:]
        if self.candidates is not None:
            negatives = negatives + math.log(self.candidates / negatives.shape[-1])
        return _softmax_loss(logits[..., :1], negatives)


@dataclass(frozen=True, kw_only=True)
class LogQSoftmax(BatchLoss):
    """Sampled softmax in which a negative that the sampler draws with probability q stands for 1 / (K q) items.

    The logQ correction of Bengio and Senecal 2008 and Yi et al. 2019, with each user's own probabilities, for every
    sampler. Under uniform draws it is `SampledSoftmax` with `candidates` the user's number of possible negatives.
    """

    needs: ClassVar[frozenset[Needed]] = frozenset({"log_probs"})

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Losses (B, 1+K) of logits (B, 1+K): a group's stands at its positive, the other columns are zero."""
        assert batch.log_probs is not None
        negatives = logits[..., 1:]
        return _softmax_loss(logits[..., :1], negatives - batch.log_probs - math.log(negatives.shape[-1]))


def _softmax_loss(positive: Tensor, negatives: Tensor) -> Tensor:
    """log sum exp of positive (B, 1) and negatives (B, K), less the positive: in column 0 of (B, 1+K), else zero."""
    total = torch.cat([positive, negatives], dim=-1).logsumexp(-1, keepdim=True)
    return torch.cat([total - positive, torch.zeros_like(negatives)], dim=-1)
