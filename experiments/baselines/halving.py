"""Tuning of what is trained by gradient: draws of successive halving, on validation, and the best draw's configuration.

The procedure is that of `experiments.tuned_losses`, on one split: a draw is a repetition of it.
"""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.baselines.arms import HERE, Arm
from experiments.tuned_losses import design as tuned
from experiments.tuned_losses import runner, table
from experiments.tuned_losses.table import Row
from ncf.core.compose import compose
from ncf.core.outside import read_yaml
from ncf.core.signals import STOPPED
from ncf.errors import ConfigError
from ncf.launch.search_space import SPACES, read_space

RULES, ROWS = HERE / "halving.yaml", HERE / "tuning"
_QUIET = ("trainer.progress=false", "device=cpu")


class _FromTowers(tuned.Procedure):
    """For a model that starts at the runs of others, which there are for the arm's seeds alone."""

    def trial_seed(self, unit: tuned.Unit, trial: int) -> int:
        """One of ten."""
        return self.first_seed + trial % 10

    def refit_seed(self, unit: tuned.Unit, number: int) -> int:
        """One of ten."""
        return self.first_seed + number


@cache
def rules() -> dict[str, Any]:
    """What halving.yaml says."""
    return read_yaml(RULES, ConfigError)


def configurations() -> int:
    """How many a model tries."""
    return int(rules()["draws"] * rules()["rungs"][0]["configurations"] + rules()["earlier_trials"])


def procedure(arm: Arm, fixed: list[str]) -> tuned.Procedure:
    """What the draws of `arm` have in common.

    Args:
        fixed: settings that tuning does not touch.
    """
    said, model = rules(), arm.choices[0].removeprefix("model=")
    loss = next((choice.removeprefix("loss=") for choice in arm.choices if choice.startswith("loss=")), "bce")
    settings = [line for line in fixed if not line.startswith("loss=")] + list(_QUIET)
    towers = any("pretrained_" in line for line in fixed)
    shared = {key: said[key] for key in ("first_seed", "rungs", "refits")} | {"sha256": tuned.digest(RULES)}
    own = {"first_seed": arm.seeds[0]} if towers else {}
    space = read_space(SPACES / f"{model}.yaml", compose(settings)) | said["space"].get(model, {})
    arms = {arm.name: {"loss": loss, "weights": []}}
    kind = _FromTowers if towers else tuned.Procedure
    return kind.model_validate({**shared, **own, "settings": settings, "arms": arms, "space": space, "weights": {}})


def tune(arm: Arm, fixed: list[str], folder: Path = ROWS) -> dict[str, Any]:
    """Make the draws that `folder` lacks; return the best configuration and what it took, as `ncf.launch.tuning` does.

    Raises:
        SystemExit: 75 after a stop signal, or if another process has one of the draws; the same command goes on.
    """
    made, draws = procedure(arm, fixed), rules()["draws"]
    earlier = {tuned.Unit(0, draws, arm.name): own for name, own in rules()["earlier"].items() if name == arm.name}
    units = [tuned.Unit(0, draw, arm.name) for draw in range(draws)] + list(earlier)
    own = {"reads_test": False, "given": earlier}
    work = runner.Work(made, units, made.rungs, made.refits.runs, folder / arm.name, **own)
    print(f"tuning {arm.name}: {configurations()} configurations, in {work.path}", file=sys.stderr)
    if not runner.work(work):
        raise SystemExit(STOPPED)
    rows = table.read(work.path)
    values = dict(zip(units, of_draws(arm.name, folder), strict=True))
    best = max(units, key=lambda unit: values[unit])
    chosen = earlier[best] if best in earlier else made.configuration(best, _winner(rows, best, made.rungs[-1]))
    summary = {"best": chosen, "trials": configurations(), "value": values[best]}
    return {**summary, "seconds": sum(row.seconds for row in rows)}


def _winner(rows: list[Row], unit: tuned.Unit, rung: tuned.Rung) -> int:
    """The number of the draw's best trial in the last rung."""
    last = [row for row in rows if (row.stage, row.epochs, row.draw) == ("trial", rung.epochs, unit.draw)]
    return max(last, key=lambda row: (row.valid_ndcg, -row.number)).number


def of_draws(name: str, folder: Path = ROWS) -> list[float]:
    """The mean validation value of the refits of each of a model's draws, and last of the earlier choice's."""
    rows, said = table.read(folder / name), rules()
    return [refitted(rows, tuned.Unit(0, draw, name)) for draw in range(said["draws"] + (name in said["earlier"]))]


def refitted(rows: list[Row], unit: tuned.Unit) -> float:
    """The mean validation value of a draw's refits, those that never learned too."""
    return float(np.mean([row.valid_ndcg for row in rows if row.stage == "refit" and row.draw == unit.draw]))
