"""The interfaces of losses."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from ncf.data.batch import Batch
from ncf.errors import ConfigError

Needed = Literal["ratings", "log_probs", "frequencies"]


class Loss(Protocol):
    """A pure function of logits."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return per-example losses (B, 1+K) of `logits` (B, 1+K), column 0 being the positive."""
        ...


class BatchLoss(ABC):
    """A loss that needs more of the batch than its logits; `needs` names the optional fields of `Batch` it reads."""

    needs: ClassVar[frozenset[Needed]] = frozenset()

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return per-example losses (B, 1+K) of `logits` (B, 1+K) for `batch`."""


class JointLoss(BatchLoss):
    """A loss of two outputs of a model: its logits, and the ratings that it predicts for the positives.

    It is for models that are a `ncf.models.RatingRecommender`. Without predicted ratings it is that of ranking alone.
    """

    needs: ClassVar[frozenset[Needed]] = frozenset({"ratings"})

    @abstractmethod
    def per_task(self, logits: Tensor, batch: Batch, predicted: Tensor | None = None) -> dict[str, Tensor]:
        """Return each task's losses, (B, n) each and without weights, of logits (B, 1+K) and predicted ratings (B,)."""

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch, predicted: Tensor | None = None) -> Tensor:
        """Return per-example losses (B, 1+K) of logits (B, 1+K) and predicted ratings (B,), the tasks weighted."""


def refuse_ungrouped(logits: Tensor) -> None:
    """Raise ConfigError unless `logits` have the shape of groups, (..., B, 1+K): others would be misread as one."""
    if logits.ndim < 2:
        raise ConfigError(
            f"loss: expected logits (B, 1+K), groups of a positive in column 0 and K negatives, got shape "
            f"{tuple(logits.shape)}; ncf.losses.bce, alpha_bce and focal take any shape, with labels"
        )


@dataclass(frozen=True)
class KernelArguments:
    """The arguments of the fused kernel, w (1 - p)^gamma (-log p) with w = `positive` in column 0, else `negative`."""

    gamma: float
    positive: float
    negative: float


class FocalFamily(ABC):
    """A loss of the form w (1 - p)^gamma (-log p), which the fused kernel can compute; with gamma 0 it is weighted BCE.

    `__call__` is the formula; the kernel (`ncf.losses.kernel`) computes the same values and gradients faster.
    """

    @abstractmethod
    def __call__(self, logits: Tensor) -> Tensor:
        """Return per-example losses (B, 1+K) of `logits` (B, 1+K), column 0 being the positive."""

    @abstractmethod
    def kernel_arguments(self, neg_ratio: int) -> KernelArguments:
        """Return the kernel's arguments for `neg_ratio` negatives per positive."""


AnyLoss = Loss | BatchLoss
