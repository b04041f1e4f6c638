"""What the published code took for focal loss; neither ncf nor RecBole is needed to read or test it."""

from torch import Tensor, where

MARGIN = 1e-7  # of the clamp


def published_focal(inputs: Tensor, labels: Tensor, gamma: float, alpha: float) -> Tensor:
    """Mean focal loss of inputs (N,) as if they were the probabilities of labels (N,), 1 or 0; gamma 0 is alpha-BCE.

    Outside of [1e-7, 1 - 1e-7] an input is clamped, and gets no gradient. NeuMF's are logits: see docs of
    `ncf.losses.FocalClamped`, which is this loss on (B, 1+K) logits.
    """
    p = inputs.clamp(MARGIN, 1 - MARGIN)
    p_t = where(labels == 1, p, 1 - p)
    weight = where(labels == 1, alpha, 1 - alpha)
    return (-weight * (1 - p_t) ** gamma * p_t.log()).mean()
