"""The registered losses. A loss is a pure function that returns one value per example; training takes their mean.

`LOSSES` is the registry of the `loss` config group. `base` defines what a loss is, `pointwise` and `groupwise` contain
the formulas, `joint` those of a model that predicts ratings as well, and `kernel` the fused form in which the focal
family is computed by default. `labelled` has `bce`, `alpha_bce` and `focal` as functions of logits and labels of any
shape, for use outside of training.
"""

from torch import Tensor

from ncf.core.registry import Registry
from ncf.data.batch import Batch
from ncf.losses.base import AnyLoss, BatchLoss, FocalFamily, JointLoss, KernelArguments, Loss, Needed
from ncf.losses.groupwise import BPR, LogQSoftmax, SampledSoftmax
from ncf.losses.joint import BPRRating
from ncf.losses.labelled import alpha_bce, bce, focal
from ncf.losses.pointwise import BCE, GBCE, AlphaBCE, Focal, FocalClamped, ItemWeightedBCE, WeightedBCE

__all__ = [
    "BCE",
    "BPR",
    "GBCE",
    "LOSSES",
    "AlphaBCE",
    "AnyLoss",
    "BPRRating",
    "BatchLoss",
    "Focal",
    "FocalClamped",
    "FocalFamily",
    "ItemWeightedBCE",
    "JointLoss",
    "KernelArguments",
    "LogQSoftmax",
    "Loss",
    "SampledSoftmax",
    "WeightedBCE",
    "alpha_bce",
    "bce",
    "focal",
    "needs",
    "per_example",
]

LOSSES = Registry(
    "loss",
    {
        "bce": BCE,
        "alpha_bce": AlphaBCE,
        "focal": Focal,
        "focal_clamped": FocalClamped,
        "weighted_bce": WeightedBCE,
        "item_weighted_bce": ItemWeightedBCE,
        "gbce": GBCE,
        "bpr": BPR,
        "sampled_softmax": SampledSoftmax,
        "logq_softmax": LogQSoftmax,
        "bpr_rating": BPRRating,
    },
)


def per_example(loss: AnyLoss, logits: Tensor, batch: Batch) -> Tensor:
    """Return per-example losses (B, 1+K) of `logits` (B, 1+K) for `batch`."""
    return loss(logits, batch) if isinstance(loss, BatchLoss) else loss(logits)


def needs(loss: AnyLoss) -> frozenset[Needed]:
    """Return the optional fields of `Batch` that the loss reads."""
    return loss.needs if isinstance(loss, BatchLoss) else frozenset()
