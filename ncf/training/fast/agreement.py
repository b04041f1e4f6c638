"""Check, on a few rows before training starts, that a fast step computes what the plain one does.

Closed forms and fused kernels are written separately from the `forward` and the formula that people read. If only one
side is changed, training follows the one that people read.
"""

from dataclasses import dataclass

from torch import Tensor

from ncf.data.batch import Batch
from ncf.training.base import Step
from ncf.training.settings import TrainerSettings

_TOLERANCE = {"float32": 1e-3, "tf32": 1e-2, "bfloat16": 5e-2}  # relative to the norm; rounding stays far below it
_ROUNDING = 1e-5  # relative to the norm of the largest gradient


@dataclass(frozen=True)
class Outcome:
    """What a step computes on a batch: logits (B, 1+K), the summed loss (), and each parameter's gradient by name."""

    logits: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]


def outcome(step: Step, batch: Batch) -> Outcome:
    """Return what `step` computes on `batch`, without an update."""
    logits, total = step.backward(batch)
    gradients = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    kept = {name: _dense(gradient).clone() for name, gradient in gradients.items()}
    return Outcome(logits.clone(), total.clone(), kept)


def disagreement(found: Outcome, expected: Outcome, settings: TrainerSettings) -> str | None:
    """Describe where `found` differs from `expected` by more than rounding; return None if it does not."""
    tolerance = _TOLERANCE[settings.precision]
    if _differ(found.logits, expected.logits, tolerance):
        return "its logits are not those of the model's forward"
    if _differ(found.loss, expected.loss, tolerance):
        return "its loss is not that of the loss's formula"
    largest = max(float(gradient.norm()) for gradient in expected.gradients.values())
    for name, gradient in expected.gradients.items():
        # Where terms cancel, as for a user's bias under BPR, the gradient is pure rounding error.
        rounding = _ROUNDING * largest
        if name not in found.gradients or _differ(found.gradients[name], gradient, tolerance, rounding):
            return f"its gradient of {name} is not autograd's"
    return None


def _differ(a: Tensor, b: Tensor, tolerance: float, rounding: float = 0.0) -> bool:
    if not (a.isfinite().all() and b.isfinite().all()):
        return False  # training raises an error for these itself
    return bool((a.double() - b.double()).norm() > tolerance * max(a.double().norm(), b.double().norm()) + rounding)


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
