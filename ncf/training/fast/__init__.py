"""Faster equivalents of the plain step. Only `training.step`, `training.optimizers` and `launch` import this folder.

`choose` picks one: closed-form gradients where they are known (GMF, MLP, NeuMF), torch.compile on request, and
otherwise the fused loss followed by the model's own backward pass.
"""

from ncf.training.fast.agreement import disagreement, outcome
from ncf.training.fast.steps import choose

__all__ = ["choose", "disagreement", "outcome"]
