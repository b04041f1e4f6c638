"""The parts of `model=hybrid`: found in their run folders, checked, and weighted by validation.

A run is identified by the models of its parts and the digests of their weights, not by the paths of the folders: the
configuration computes them with `${hybrid_parts:...}`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from ncf.data.split import Split
from ncf.errors import ConfigError
from ncf.evaluation import FullRanking, validation_targets
from ncf.models.hybrid import Hybrid
from ncf.runs import artifacts, checkpoint
from ncf.runs.identity import completed

log = logging.getLogger(__name__)

ALPHAS = tuple(np.linspace(0, 1, 21).round(2).tolist())
"""The weights of the first part that are tried on validation."""


def sources(folders: Any) -> list[dict[str, Any]]:
    """Return the settings of the models of two finished runs, and the digests of their weights.

    Raises:
        ConfigError: there are not two folders, or one holds no finished run.
    """
    if isinstance(folders, str) or not isinstance(folders, Sequence) or len(folders) != 2:
        raise ConfigError(f"model.parts: expected the folders of two finished runs, [a, b], got {folders!s:.200}")
    results = [_finished(Path(str(folder))) for folder in folders]
    return [
        {"model": completed(result["config"])["model"], "weights_sha256": result["weights_sha256"]}
        for result in results
    ]


def start(model: Hybrid, split: Split, evaluation: FullRanking, monitor: str) -> None:
    """Load both parts into `model`, which is on the CPU, and choose `alpha` on validation unless it is set.

    Of alphas that are equally good, the one nearest to 0.5 is taken, and of two such the larger one.

    Raises:
        ConfigError: a folder holds no finished run, or one on other data or another split, or `monitor` is no metric.
        CheckpointError: a checkpoint is missing, damaged or another run's.
    """
    weights = []
    for folder in map(Path, model.folders):
        result = _finished(folder)
        if (found := result["data_digest"]) != split.digest:
            raise ConfigError(
                f"model.parts: expected runs on this data and split, with digest {split.digest[:16]}, "
                f"found {found[:16]} in {folder}; train its parts with the data=, split= and split.* of the hybrid"
            )
        weights.append(checkpoint.of_result(folder, result).best)
    model.take(weights, 0.5 if model.alpha is None else model.alpha)
    if model.alpha is None:
        _choose(model, split, evaluation, monitor)


def _choose(model: Hybrid, split: Split, evaluation: FullRanking, monitor: str) -> None:
    if monitor not in evaluation.names:
        raise ConfigError(f"trainer.monitor: expected one of {', '.join(evaluation.names)}, got {monitor!r}")
    targets, found = validation_targets(split, "cpu"), {}
    for alpha in ALPHAS:
        model.weight_of_first.fill_(alpha)
        found[alpha] = evaluation.metrics(evaluation.evaluate(model.score, targets))[monitor]
    best = max(found, key=lambda alpha: (found[alpha], -round(abs(alpha - 0.5), 6), alpha))
    model.weight_of_first = torch.tensor([best])
    log.info(
        "model.alpha=%g has the best %s on validation, %.4f; the first part alone %.4f, the second %.4f",
        best, monitor, found[best], found[1.0], found[0.0],
    )  # fmt: skip


def _finished(folder: Path) -> dict[str, Any]:
    result = artifacts.read_result(folder)
    if result is None:
        raise ConfigError(
            f"model.parts: expected the folder of a finished run, found no {artifacts.RESULT} in {folder}"
        )
    config = result["config"]
    if not isinstance(config.get("model"), dict) or not isinstance(result.get("weights_sha256"), str):
        raise ConfigError(f"model.parts: expected the folder of a training run, found another in {folder}")
    return result


OmegaConf.register_new_resolver("hybrid_parts", sources, replace=True)
