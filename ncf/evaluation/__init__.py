"""Evaluation protocols; `EVALUATIONS` is the registry of the `evaluation` config group."""

from ncf.core.registry import Registry
from ncf.evaluation.full import FullRanking
from ncf.evaluation.ranking import Ranks, Scorer, Targets, test_targets, validation_targets
from ncf.evaluation.sampled import SampledRanking

__all__ = [
    "EVALUATIONS",
    "FullRanking",
    "Ranks",
    "SampledRanking",
    "Scorer",
    "Targets",
    "test_targets",
    "validation_targets",
]

EVALUATIONS = Registry("evaluation", {"full": FullRanking, "sampled": SampledRanking})
