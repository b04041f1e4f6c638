"""Equal budgets: as many configurations for each model, and the choice as conf/experiment/tuned_<model>.yaml."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from experiments.baselines import halving, runs
from experiments.baselines.arms import ARMS, HERE, RETUNED, RUNS, STUDIES, TRAINED, TUNED, Arm
from ncf.core.files import write_text
from ncf.launch.search_space import SPACES
from ncf.launch.tuning import tune

SUMMARY = HERE / "tuning.csv"
_DIGITS = 3  # of a chosen number; validation cannot tell finer ones apart


def tune_all(minutes: float, jobs: int) -> None:
    """Tune each model that has a space, on validation alone; the choices and `tuning.csv`.

    Args:
        minutes: of a study of a model that is not trained by gradient, after which no trial begins.
    """
    rows = []
    for arm in (*ARMS.values(), *RETUNED.values()):
        rows.append(tune_one(arm, minutes))
        if arm.name in ("gmf", "mlp"):
            runs.train(arm, arm.seeds, jobs)  # pre-training is tuned with them
    pd.DataFrame(rows).to_csv(SUMMARY, index=False, float_format="%.6g", lineterminator="\n")


def tune_one(arm: Arm, minutes: float) -> dict[str, Any]:
    """Tune one model, by halving if it is trained by gradient; its choice as YAML; the row of `tuning.csv`."""
    summary: dict[str, Any] = {"best": {}, "trials": 0, "seconds": 0.0, "value": math.nan}
    fixed = [*arm.overrides, *_sizes_of_towers(arm)]
    if by_gradient(arm):
        summary = halving.tune(arm, fixed)
    elif arm.tuned and (SPACES / f"{arm.choices[0].removeprefix('model=')}.yaml").exists():
        summary = tune(fixed, halving.configurations(), minutes, STUDIES)
    chosen = {key: rounded(value) for key, value in summary["best"].items()}
    settings = [line for line in fixed if line not in arm.choices]
    write_text(TUNED / f"{arm.experiment}.yaml", experiment(arm, settings, chosen, summary))
    return {"arm": arm.name, **{key: summary[key] for key in ("trials", "seconds", "value")}}


def by_gradient(arm: Arm) -> bool:
    """Whether tuning can stop its training early and see how the others do."""
    return arm.tuned and set(TRAINED) <= set(arm.settings)


def experiment(arm: Arm, settings: list[str], chosen: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """The YAML of `arm.experiment`: a choice per group, then what is fixed and what tuning chose."""
    found = f"tuned: validation NDCG@10 {summary['value']:.4f}, the best of {summary['trials']} configurations"
    found = f"{found} in {summary['seconds'] / 60:.1f} min" if chosen else "tuned: it has nothing to tune"
    found = found if arm.tuned else "not tuned"
    body = OmegaConf.from_dotlist([*settings, *(f"{key}={value}" for key, value in chosen.items())])
    folders = {"dir": str(arm.sweep), "subdir": f"{arm.name}-s${{seed}}"}
    OmegaConf.update(body, "hydra", {"sweep": folders})
    lines = [
        "# @package _global_",
        f"# {arm.title}{', ' if arm.tuned else ': '}{found}.",
        "# Written by python -m experiments.baselines tune; its page is experiments/baselines/README.md.",
        "defaults:",
        *(f"  - override /{choice.replace('=', ': ')}" for choice in arm.choices),
    ]
    return "\n".join(lines) + "\n" + OmegaConf.to_yaml(body)


def rounded(value: Any) -> Any:
    """A real number at `_DIGITS` significant digits; anything else as it is."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _sizes_of_towers(arm: Arm) -> list[str]:
    """Where pre-trained NeuMF starts: the tuned GMF and MLP of its own seed, and so their sizes."""
    if arm.name != "neumf_pretrained":
        return []
    towers = {name: OmegaConf.load(TUNED / f"tuned_{name}.yaml").model for name in ("gmf", "mlp")}
    return [f"model.hidden={list(towers['mlp'].hidden)}".replace(" ", "")] + [
        setting
        for name, tower in towers.items()
        for setting in (f"model.{name}_factors={tower.factors}", f"model.pretrained_{name}={RUNS}/{name}-s${{seed}}")
    ]
