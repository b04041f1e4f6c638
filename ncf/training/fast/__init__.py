"""Faster equals of the plain step. Only `training.step`, `training.optimizers` and `launch` know of this folder.

`choose` is where a fast way is picked: gradients in closed form where they are known (GMF, MLP, NeuMF), torch.compile
where it is asked for, and else the fused loss before the model's own backward pass.
"""

from ncf.training.fast.agreement import disagreement, outcome
from ncf.training.fast.steps import choose

__all__ = ["choose", "disagreement", "outcome"]
