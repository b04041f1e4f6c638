"""What a loss is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from ncf.data.batch import Batch

Needed = Literal["ratings", "log_probs"]


class Loss(Protocol):
    """A pure function of logits."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of `logits` (B, 1+K), column 0 the positive."""
        ...


class BatchLoss(ABC):
    """A loss that needs more of the batch than its logits; `needs` names the optional fields of `Batch` it reads."""

    needs: ClassVar[frozenset[Needed]] = frozenset()

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Per-example losses (B, 1+K) of `logits` (B, 1+K), those of `batch`."""


@dataclass(frozen=True)
class FocalWeights:
    """The settings of the fused kernel: losses w (1 - p)^gamma (-log p), w `positive` in column 0, else `negative`."""

    gamma: float
    positive: float
    negative: float


class FocalFamily(ABC):
    """A loss that is w (1 - p)^gamma (-log p) for some weights, so that the fused kernel can compute it.

    `__call__` is its formula. The kernel (`ncf.losses.kernel`) is a faster way to the same values and gradients.
    """

    @abstractmethod
    def __call__(self, logits: Tensor) -> Tensor:
        """Per-example losses (B, 1+K) of `logits` (B, 1+K), column 0 the positive."""

    @abstractmethod
    def weights(self, neg_ratio: int) -> FocalWeights:
        """What to hand to the kernel, at `neg_ratio` negatives a positive."""


AnyLoss = Loss | BatchLoss


def per_example(loss: AnyLoss, logits: Tensor, batch: Batch) -> Tensor:
    """Per-example losses (B, 1+K) of `logits` (B, 1+K), those of `batch`."""
    return loss(logits, batch) if isinstance(loss, BatchLoss) else loss(logits)


def needs(loss: AnyLoss) -> frozenset[Needed]:
    """The optional fields of `Batch` that the loss reads."""
    return loss.needs if isinstance(loss, BatchLoss) else frozenset()
