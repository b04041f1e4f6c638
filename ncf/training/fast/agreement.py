"""Check, on a few rows before training starts, that a fast step computes what the plain one does.

Closed forms and fused kernels are written separately from the `forward` and the formula that people read. If only one
side is changed, training follows the one that people read.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ncf.data.batch import Batch
from ncf.losses.kernel import losses_and_logit_grad
from ncf.training.base import Step
from ncf.training.fast.steps import FastStep

_TOLERANCE = 1e-3  # relative to the norm; rounding in float32 stays far below it
_ROUNDING = 1e-6  # relative to the terms of a gradient, which may cancel


@dataclass(frozen=True)
class Outcome:
    """What a step computes on a batch.

    Attributes:
        logits: (B, 1+K).
        loss: (), summed.
        gradients: of the mean loss, by each parameter's name.
        terms: the size of the terms that gradients sum up: sum over rows of |dL/dx|, L the mean loss and x the logit.
    """

    logits: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]
    terms: float


def outcome(step: Step, batch: Batch) -> Outcome:
    """Return what `step` computes on `batch` in float32, without an update: bfloat16 rounds as much as edits change."""
    with _in_float32(step):
        logits, total = step.backward(batch)
    gradients = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
    kept = {name: _dense(gradient).clone() for name, gradient in gradients.items()}
    _, logit_grad = losses_and_logit_grad(step.loss, logits, batch)
    return Outcome(logits.clone(), total.clone(), kept, float(logit_grad.abs().sum()) / batch.rows)


@contextlib.contextmanager
def _in_float32(step: Step) -> Iterator[None]:
    if not isinstance(step, FastStep):
        yield
        return
    half, step.half = step.half, False
    yield
    step.half = half


def disagreement(found: Outcome, expected: Outcome) -> str | None:
    """Describe where `found` differs from `expected` by more than rounding; return None if it does not."""
    if _differ(found.logits, expected.logits):
        return "its logits differ from the model's forward"
    if _differ(found.loss, expected.loss):
        return "its loss differs from the loss's formula"
    # Where terms cancel, as for a user's bias under BPR, the gradient is pure rounding error.
    rounding = _ROUNDING * (expected.terms + max(float(gradient.norm()) for gradient in expected.gradients.values()))
    for name, gradient in expected.gradients.items():
        if name not in found.gradients or _differ(found.gradients[name], gradient, rounding):
            return f"its gradient of {name} differs from autograd's"
    return None


def _differ(a: Tensor, b: Tensor, rounding: float = 0.0) -> bool:
    finite = bool(a.isfinite().all()), bool(b.isfinite().all())
    if not all(finite):
        return any(finite)  # training itself raises an error where neither is
    a, b = a.double(), b.double()
    return bool((a - b).norm() > _TOLERANCE * max(a.norm(), b.norm()) + rounding)


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient
