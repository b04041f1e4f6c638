"""Does a fast step compute what the plain one does? Checked on a few rows before training starts.

A model's closed form and a loss's kernel are written apart from `forward` and the formula that people read. Should one
of them be changed and the other not, training goes by what is read.
"""

from dataclasses import dataclass

from torch import Tensor

from ncf.data.batch import Batch
from ncf.training.settings import TrainerSettings
from ncf.training.step import Step

_TOLERANCE = {"float32": 1e-3, "tf32": 1e-2, "bfloat16": 5e-2}  # of a norm: rounding stays far below it
_ROUNDING = 1e-5  # of the largest gradient's norm


@dataclass(frozen=True)
class Outcome:
    """What a step made of a batch: logits (B, 1+K), the summed loss (), and the gradient of each parameter by name."""

    logits: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]


def outcome(step: Step, batch: Batch) -> Outcome:
    """The outcome of `step` on `batch`, without an update; its gradients are cleared."""
    logits, total = step.backward(batch)
    gradients = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    kept = {name: _dense(gradient).clone() for name, gradient in gradients.items()}
    return Outcome(logits.clone(), total.clone(), kept)


def disagreement(found: Outcome, expected: Outcome, settings: TrainerSettings) -> str | None:
    """What of `found` differs from `expected` by more than rounding; None if nothing does."""
    tolerance = _TOLERANCE[settings.precision]
    if _differ(found.logits, expected.logits, tolerance):
        return "its logits are not those of the model's forward"
    if _differ(found.loss, expected.loss, tolerance):
        return "its loss is not that of the loss's formula"
    largest = max(float(gradient.norm()) for gradient in expected.gradients.values())
    for name, gradient in expected.gradients.items():
        # Where terms cancel, such as a user's bias under BPR, a gradient is nothing but rounding.
        rounding = _ROUNDING * largest
        if name not in found.gradients or _differ(found.gradients[name], gradient, tolerance, rounding):
            return f"its gradient of {name} is not autograd's"
    return None


def _differ(a: Tensor, b: Tensor, tolerance: float, rounding: float = 0.0) -> bool:
    if not (a.isfinite().all() and b.isfinite().all()):
        return False  # training itself refuses what is not finite
    return bool((a.double() - b.double()).norm() > tolerance * max(a.double().norm(), b.double().norm()) + rounding)


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
