"""Dropout that a killed and resumed run repeats to the bit."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zero each value with probability `p` and divide the others by 1 - p (Srivastava et al. 2014), in training only.

    Each training step sets `stream`, the random stream of its seed, epoch and step. Without one, as in scoring and
    validation, or in `eval()` mode, values pass unchanged.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.stream: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """values (...) -> values (...), some of them zero."""
        if self.stream is None or self.p == 0 or not self.training:
            return values
        kept = torch.empty_like(values).bernoulli_(1 - self.p, generator=self.stream)
        return values * kept.div_(1 - self.p)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"p={self.p}"
