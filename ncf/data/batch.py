"""The input of one training step."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B positives with K negatives each; for S stacked runs every shape has a leading S.

    Attributes:
        users: (B,) int64.
        items: (B, 1+K) int64; column 0 is the positive.
        ratings: (B,) float32, ratings of the positives; None unless the loss needs them.
        log_probs: (B, K) float32, log-probability of the sampler drawing each negative for its user; None unless the
            loss needs them.
        frequencies: (B,) float32, training positives of each positive's item, relative to the mean item's; None unless
            the loss needs them.
    """

    users: Tensor
    items: Tensor
    ratings: Tensor | None = None
    log_probs: Tensor | None = None
    frequencies: Tensor | None = None

    @property
    def rows(self) -> int:
        """B (1+K), the number of positives and negatives together."""
        return self.items.numel()

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields that are not None, by name: `Batch(**batch.tensors())` equals `batch`."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}
