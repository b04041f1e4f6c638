"""What many replications of a cell say of each method: a row of results.csv."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ncf.stats.checks import Array


def summarise(table: pd.DataFrame, plan: Mapping[str, Any], real: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a row for each method of a table of estimates, a row a replication and method.

    Args:
        table: estimates.csv of a service.
        plan: the registration: alpha.
        real: what the confounder of opt_in really does; see `warned`.
    """
    rows = []
    for (design, method), own in table.groupby(["design", "method"], sort=False):
        row = {"design": design, "method": method, "estimand": own["estimand"].iloc[0], **answers(own, plan["alpha"])}
        if "evalue" in own and own["evalue"].notna().any():
            row |= warnings(own, real)
        rows.append(row)
    return rows


def answers(own: pd.DataFrame, alpha: float) -> dict[str, float]:
    """Return bias, spread, coverage, power, winners and cost of the estimates of one method.

    NaN where the exact value is of another unit.
    """
    count, value, truth, effect = len(own), own["value"], own["truth"], own["effect"]
    sd = float(value.std(ddof=1))
    known = bool(truth.notna().all())
    covers = float(covered(own).mean()) if known else float("nan")
    named = np.where(own["p"] <= alpha, np.sign(value), 0.0)
    winner = np.where(effect.abs() > 1e-12, np.sign(effect), 0.0)
    return {
        "replications": count, "effect": effect.iloc[0], "truth": truth.iloc[0], "mean": float(value.mean()),
        "bias": float((value - truth).mean()) if known else float("nan"), "bias_error": sd / np.sqrt(count), "sd": sd,
        "error": float(own["standard_error"].mean()), "coverage": covers,
        "coverage_error": float(np.sqrt(covers * (1 - covers) / count)), "power": float((named != 0).mean()),
        "right_winner": float(((named == winner) & (named != 0)).mean()),
        "wrong_winner": float(((named != winner) & (named != 0)).mean()),
        "sessions": float(own["sessions"].mean()), "shown_b": float(own["shown_b"].mean()),
    }  # fmt: skip


def covered(own: pd.DataFrame) -> Array:
    """Return which intervals hold their truth."""
    return ((own["low"] <= own["truth"]) & (own["truth"] <= own["high"])).to_numpy()


def warnings(own: pd.DataFrame, real: Mapping[str, float]) -> dict[str, float]:
    """Return mean E-value, robustness and bounds, and how often each tool warns of the real confounder.

    `..._warns` is the share of replications in which it warns, `..._in_time` of those whose interval misses the truth,
    and `..._false_alarms` of the others.
    """
    columns = ["evalue", "evalue_limit", "robustness", "hidden_outcome", "hidden_treatment", "largest_bias"]
    found = {f"mean_{name}": float(own[name].mean()) for name in columns}
    found["bound_low"] = float((own["value"] - own["largest_bias"]).mean())
    found["bound_high"] = float((own["value"] + own["largest_bias"]).mean())
    found["bound_holds"] = float(((own["value"] - own["truth"]).abs() <= own["largest_bias"]).mean())
    wrong = ~covered(own)
    found["misses"] = float(wrong.mean())
    tools = {"bound": (own["value"].abs() <= own["largest_bias"]).to_numpy()}
    tools["evalue"], strength = evalue_warns(own, real)
    found["real_evalue"] = float(np.mean(strength))
    for name, warns in tools.items():
        found |= {
            f"{name}_warns": float(warns.mean()), f"{name}_in_time": _share(warns, wrong),
            f"{name}_false_alarms": _share(warns, ~wrong),
        }  # fmt: skip
    return found


def evalue_warns(own: pd.DataFrame, real: Mapping[str, float]) -> tuple[Array, Array]:
    """Return whether each E-value is at most that of the real confounding, and the latter, (R,) each.

    An E-value E stands for a risk ratio E² / (2 E - 1) = exp(.91 |effect| / SD), which gives the outcome's SD back.

    Args:
        own: R replications.
        real: share (of users of middling enthusiasm who opt in), confounding (log odds), enthusiasm (how far it moves
            clicks), clicks (a session).
    """
    e = own["evalue"].to_numpy()
    log_ratio = np.log(e**2 / (2 * e - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 0.91 * own["value"].abs().to_numpy() / log_ratio
    spread = np.where(np.isfinite(spread), spread, np.nanmedian(spread))
    difference = real["clicks"] * real["enthusiasm"]  # the halves' mean enthusiasms, -1/2 and 1/2, are 1 apart
    bound = bounding_factor(treatment_ratio(real["share"], real["confounding"]), np.exp(0.91 * difference / spread))
    strength = bound + np.sqrt(bound * (bound - 1))
    return np.asarray(e <= strength), strength


def treatment_ratio(share: float, confounding: float) -> float:
    """Return the share of the more enthusiastic half among those who opt in over that among the others.

    Enthusiasm is uniform on [-1, 1]; the log odds of opting in are logit(share) + confounding x enthusiasm.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    opts = {half: weights @ expit(logit(share) + confounding * (half + nodes) / 2) / 2 for half in (-1, 1)}
    inside = opts[1] / (opts[1] + opts[-1])
    outside = (1 - opts[1]) / (2 - opts[1] - opts[-1])
    return float(inside / outside)


def bounding_factor(treatment: float, outcome: Array) -> Array:
    """Return the most by which a confounder moves a risk ratio, from its own ratios (Ding and VanderWeele 2016)."""
    return np.asarray(treatment * outcome / (treatment + outcome - 1))


def _share(which: Array, among: Array) -> float:
    return float(which[among].mean()) if among.any() else float("nan")
