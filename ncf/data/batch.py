"""What one training step sees."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B groups of one positive and its K negatives; S stacked runs have S in front of every shape.

    Attributes:
        users: (B,) int64.
        items: (B, 1+K) int64, column 0 the positive.
        ratings: (B,) float32, those of the positives; None unless the loss asks for them.
        log_probs: (B, K) float32, the log-probability with which the sampler draws each of the negatives for its user;
            None unless the loss asks for them.
    """

    users: Tensor
    items: Tensor
    ratings: Tensor | None = None
    log_probs: Tensor | None = None

    @property
    def rows(self) -> int:
        """B (1 + K): positives and negatives together."""
        return self.items.numel()

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there, by name: `Batch(**batch.tensors())` is this batch again."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}
