"""The losses by name. A loss is a pure function that returns one value per example; training takes their mean.

`LOSSES` is the registry of the `loss` config group. `base` defines what a loss is, `pointwise` and `groupwise` contain
the formulas, and `kernel` the fused form in which the focal family is computed by default.
"""

from ncf.core.registry import Registry
from ncf.losses.base import AnyLoss, BatchLoss, FocalFamily, FocalWeights, Loss, needs, per_example
from ncf.losses.groupwise import BPR, LogQSoftmax, SampledSoftmax
from ncf.losses.pointwise import BCE, GBCE, AlphaBCE, Focal, FocalClamped, WeightedBCE

__all__ = [
    "BCE",
    "BPR",
    "GBCE",
    "LOSSES",
    "AlphaBCE",
    "AnyLoss",
    "BatchLoss",
    "Focal",
    "FocalClamped",
    "FocalFamily",
    "FocalWeights",
    "LogQSoftmax",
    "Loss",
    "SampledSoftmax",
    "WeightedBCE",
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
        "gbce": GBCE,
        "bpr": BPR,
        "sampled_softmax": SampledSoftmax,
        "logq_softmax": LogQSoftmax,
    },
)
