"""How names and numbers are written for readers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ncf.stats.intervals import Interval
from ncf.study import Registration
from ncf.study.registration import Compared, Selector, Value

LOSS_NAMES = {"bce": "BCE", "alpha_bce": "α-BCE", "focal": "focal", "focal_clamped": "clamped focal"}
GREEK = {"gamma": "γ", "alpha": "α"}
METRIC_NAMES = {"hit": "HR", "ndcg": "NDCG", "mrr": "MRR"}


def arm_labels(registration: Registration) -> dict[str, str]:
    """The registered arms by their losses, or by their registered names if the losses do not tell them apart."""
    labels = {name: label(arm) for name, arm in registration.arms.items()}
    return labels if len(set(labels.values())) == len(labels) else {name: name for name in labels}


def label(arm: Selector) -> str:
    """An arm by its loss: "focal (γ 2, α 0.25)"."""
    name = loss_name(arm)
    settings = [f"{greek} {number(arm[key])}" for key, greek in (("gamma", "γ"), ("alpha", "α")) if key in arm]
    return f"{name} ({', '.join(settings)})" if settings else name


def loss_name(arm: Selector) -> str:
    """An arm's loss without its settings: "focal"; its model if it leaves the loss open."""
    name = str(arm.get("loss", arm.get("model", "any")))
    return LOSS_NAMES.get(name, name)


def metric_name(column: str) -> str:
    """A metric: test/ndcg@10 is "test NDCG@10"."""
    part, _, metric = column.rpartition("/")
    name, _, cutoff = metric.partition("@")
    words = f"{METRIC_NAMES.get(name, name)}{'@' if cutoff else ''}{cutoff}"
    return f"{part} {words}" if part else words


def contrast_name(registration: Registration, treatment: str, baseline: str) -> str:
    """Two arms: "focal vs BCE", "focal vs α-BCE, balanced α"."""
    arms = [registration.arms[name] for name in (treatment, baseline)]
    balanced = ", balanced α" if all(arm.get("alpha") == "balanced" for arm in arms) else ""
    names = list(map(loss_name, arms))
    return f"{' vs '.join(names if names[0] != names[1] else [treatment, baseline])}{balanced}"


def row_name(registration: Registration, compared: Compared) -> str:
    """A comparison: "focal vs BCE, 1:10, NDCG@10"."""
    claim, ratios = compared.claim, compared.ratios
    over = f"1:{ratios[0]}" if len(ratios) == 1 else f"growth 1:{min(ratios)} to 1:{max(ratios)}"
    metric = metric_name(compared.metric).removeprefix("test ")
    return f"{contrast_name(registration, claim.treatment, claim.baseline)}, {over}, {metric}"


def listed(words: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def at_ratios(values: Mapping[int, object], words: str = "") -> str:
    """A value for each ratio: "30 seeds at 1:4, 36 seeds at 1:10"."""
    return ", ".join(f"{value}{words and f' {words}'} at 1:{ratio}" for ratio, value in values.items())


def number(value: Value) -> str:
    """A setting without needless digits; words stay."""
    return value if isinstance(value, str) else f"{value:.3g}"


def percent(share: float, digits: int = 0) -> str:
    """0.958 is "96%"; what has no end is "none"."""
    return f"{share:.{digits}%}" if math.isfinite(share) else "none"


def p_value(p: float) -> str:
    """Two significant digits, or how small it is."""
    return "<1e-300" if p == 0 else f"{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def number_text(value: float, digits: int) -> str:
    """A number with so many significant digits at least, whole from there on: 0.0123, 1.5, 14,020, never 1.4e+04."""
    return f"{value:,.0f}" if 10**digits - 0.5 <= abs(value) < 1e12 else f"{value:.{digits}g}"


def mean_sd(values: pd.Series) -> str:
    """0.0612 ± 0.0034; one value alone has no spread."""
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" if len(values) > 1 else f"{values.mean():.4f}"


def percents(interval: Interval) -> str:
    """+1.9% [-2.0%, +5.8%], or +1.9% [not shown: 5 pairs]"""
    return f"{interval.estimate:+.1%} {_ends(interval, '+.1%')}"


def percent_ends(interval: Interval) -> str:
    """[-2.0%, +5.8%], or [not shown: 5 pairs]"""
    return _ends(interval, "+.1%")


def numbers(interval: Interval) -> str:
    """+0.19 [-0.20, +0.58], or +0.19 [not shown: 5 pairs]"""
    return f"{interval.estimate:+.2f} {_ends(interval, '+.2f')}"


def _ends(interval: Interval, written: str) -> str:
    if interval.ends is None:
        return f"[not shown: {interval.short}]"
    return f"[{', '.join(format(end, written) for end in interval.ends)}]"


def seeds_text(seeds: Sequence[int]) -> str:
    """42 to 71, 80: consecutive seeds drawn together."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs)


def level_name(columns: Sequence[str], level: Sequence[Any]) -> str:
    """A level for the reader: "focal (γ 2, α 0.25)", "1:4", "lr 0.01"."""
    named = {c: v for c, v in zip(columns, level, strict=True) if v is not None}
    heads = [c for c in named if c in ("loss", "model") or c.endswith(".name")]
    head = ", ".join(LOSS_NAMES.get(str(named[c]), str(named[c])) for c in heads)
    rest = [
        f"1:{setting_text(v)}" if c == "neg_ratio" else f"{GREEK.get(c, c.rpartition('.')[2])} {_shown(v)}"
        for c, v in named.items() if c not in heads
    ]  # fmt: skip
    return f"{head} ({', '.join(rest)})" if head and rest else head or ", ".join(rest)


def _shown(value: Any) -> str:
    is_fraction = isinstance(value, float) and not value.is_integer()
    return number(value) if is_fraction else setting_text(value)


def setting_text(value: Any) -> str:
    """A setting as it is typed: 0.001, 1048576, true; "none" for one that a run does not have."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return "none" if value is None else str(int(value) if whole else value)
