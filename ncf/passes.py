"""The forward and backward pass of a model."""

from typing import Protocol

from torch import Tensor

from ncf.models import Recommender


class Passes(Protocol):
    """Those of one model, or of S stacked ones, whose shapes then have S in front."""

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K), without a graph."""
        ...

    def backward(self, slopes: Tensor) -> None:
        """Put the parameters' gradients in place, given those by the logits (B, 1+K) of the last forward pass."""
        ...


class Autograd:
    """The passes of any model, by autograd."""

    def __init__(self, model: Recommender) -> None:
        self._model, self._parameters = model, list(model.parameters())

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users (B,), items (B, 1+K) -> logits (B, 1+K), without a graph."""
        self._logits: Tensor = self._model(users, items)
        return self._logits.detach()

    def backward(self, slopes: Tensor) -> None:
        """Put the parameters' gradients in place, given those by the logits (B, 1+K) of the last forward pass."""
        for parameter in self._parameters:
            parameter.grad = None
        self._logits.backward(slopes)
