"""Every public function of statistics and studies, given nonsense: one line that says so, or sound numbers."""

import dataclasses
import importlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ncf.stats import (
    checks,
    comparison,
    contrast,
    crossed,
    effects,
    equivalence,
    estimate,
    findings,
    intervals,
    multiplicity,
    overlapping,
    paired,
    power,
    selection,
    small_power,
    trend,
)  # fmt: skip
from ncf.stats.checks import StatisticsError
from ncf.study import outcomes, plan
from ncf.study.registration import load

verdict = importlib.import_module("ncf.study.verdict")  # the package has a function of this name
MODULES: list[ModuleType] = [
    checks, comparison, contrast, crossed, effects, equivalence, estimate, findings, intervals, multiplicity,
    overlapping, paired, power, selection, small_power, trend, plan, verdict, outcomes,
]  # fmt: skip
CHECKERS = {"number", "positive", "fraction", "whole", "one_of", "instance", "function", "shown", "table", "aligned"}
"""They are what refuses: see test_checks.py."""
MAY_BE_INFINITE = {"detectable_effect", "detectable_from", "cohen_dz", "plans", "estimate"}

STUDY = load(Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml").model_copy(
    update={"resamples": 999, "seeds": {4: 8, 10: 8, 50: 8}}
)
NDCG = "test/ndcg@10"


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


B = rng().normal(1, 0.1, 8)
T = B + rng().normal(0.1, 0.1, 8) + np.linspace(0, 0.05, 8)
RUNS = pd.DataFrame([run for grid in ("main", "constant_weight") for run in STUDY.runs(grid)])
RUNS[NDCG], RUNS["test/hit@10"] = rng().normal(0.06, 0.002, (2, len(RUNS)))
COMPARED = STUDY.hypotheses["H1"].comparisons()[0]
PAIR = {"treatment": T, "baseline": B}
TABLES = {"treatment": rng().normal(1, 0.1, (4, 9)), "baseline": rng().normal(1, 0.1, (4, 9))}
INTERVAL = {"level": 0.9, "resamples": 100, "rng": rng()}
DESIGN = {"sd": 1.0, "seeds": 9, "level": 0.05}
PILOT = outcomes.from_pilot(STUDY)
NAMED = {"estimand": "mean", "method": "mean", "level": 0.9, "clusters": [0, 0, 1, 1, 2, 2, 3, 3], "weights": B}
MEAN = estimate.mean_estimate(B, estimand="mean", method="mean")
BLOCKS = {**PAIR, "share": 0.02, "margin": 0.05}

GOOD: dict[str, dict[str, Any]] = {
    "sample": {"values": B, "least": 2}, "pairs": {**PAIR, "least": 2}, "rounded_difference": PAIR,
    "differences": {**PAIR, "least": 2}, "spread": {"values": B},
    "compare": {**PAIR, "margin": 0.05, **INTERVAL},
    "crossed_mean": {"differences": TABLES["treatment"]}, "seeds_and_users": TABLES,
    **{name: {**PAIR, "axis": -1} for name in effects.EFFECTS},
    "contrast": PAIR, "corrected": {"contrasts": [contrast.contrast(T, B)]},
    "estimate": {"value": 1.0, "influence": B, **NAMED, "lost": 1, "degrees": 7.0},
    "mean_estimate": {"values": B, **NAMED}, "difference": {"first": MEAN, "second": MEAN},
    "by_cluster": {"values": B, "clusters": NAMED["clusters"]}, "effective_size": {"weights": B},
    "overlapping": {**BLOCKS, "level": 0.9}, "overlapping_p": BLOCKS,
    "equivalence": {**PAIR, "margin": 0.05},
    "findings": {"direction": [1, -1], "p": [0.01, 0.2], "p_equivalent": [0.5, 0.01], "alpha": 0.05,
                 "correction": "holm"},
    "statuses": {"alone": [0, 1], "surviving": [0, 3], "needs": "all"},
    "bootstrap": {"effect": effects.mean_difference, **PAIR, **INTERVAL}, "why_withheld": PAIR,
    "two_level": {**TABLES, "level": 0.9},
    "holm": {"p": [0.1, 0.2]}, "bonferroni": {"p": [0.1, 0.2]},
    "benjamini_hochberg": {"p": [0.1, 0.2]}, "corrected_level": {"level": 0.95, "comparisons": 4},
    "wilcoxon": PAIR, "sign_test": PAIR, "paired_t": PAIR, "wilcoxon_of_many": {"differences": T - B},
    "signed_rank_distribution": {"n": 8},
    "reach": {"seeds": 8, "comparisons": 4, "alpha": 0.05},
    "require_conclusive": {"seeds": 8, "comparisons": 4, "alpha": 0.05}, "smallest_p": {"seeds": 8},
    "power": {"effect": 1.0, **DESIGN, "efficiency": 0.9},
    "seeds_needed": {"effect": 1.0, "sd": 1.0, "level": 0.05, "target": 0.8, "efficiency": 0.9},
    "detectable_effect": {**DESIGN, "target": 0.8, "efficiency": 0.9},
    "detectable_from": {"differences": T - B, "level": 0.05, "target": 0.8},
    "spread_limit": {"differences": B, "confidence": 0.8}, "upper_spread": {"sd": 1.0, "pairs": 6, "confidence": 0.8},
    "best_of": {"differences": TABLES["treatment"], "draws": 100, "rng": rng()},
    "simulated_power": {"effect": 1.0, **DESIGN}, "critical_sum": {"seeds": 8, "level": 0.05},
    "slopes": {"gains": [[1, 2], [2, 2.5]], "ratios": [4, 10]},
    "growth": {"gains": [[1, 2], [2, 3]], "ratios": [4, 10]},
    "plans": {"registration": STUDY, "confidence": 0.8}, "require_plan": {"registration": STUDY.model_copy(
        update={"seeds": {4: 10, 10: 10, 50: 10}})},
    "pilot_of": {"compared": COMPARED, "registration": STUDY}, "describe": {"plan": plan.plans(STUDY)[0]},
    "verdict": {"registration": STUDY, "results": RUNS, "intervals": "plain"},
    "arm_values": {"results": RUNS, "arm": STUDY.arms["bce"], "ratio": 4, "metric": NDCG},
    "paired_values": {"treatment": T[:, None], "baseline": B[:, None], "compared": COMPARED},
    "from_pilot": {"registration": STUDY, "confidence": 0.8, "correlation": 0.5},
    "from_runs": {"registration": STUDY, "results": RUNS},
    "chances": {"registration": STUDY, "runs": PILOT, "effects": [0, 1], "draws": 100},
    "describe_chances": {"found": outcomes.chances(STUDY, PILOT, draws=100)[0]},
}  # fmt: skip

BAD: list[Any] = [
    math.nan, math.inf, -math.inf, -1, -0.5, 0, 1, 0.5, 2.0, 5e-324, 1e-320, 1e308, 10**400, True, 1j, "a", "1", b"1",
    None, object(), [], {}, [[]], ["a", "b"], ["1", "2"], [[1.0], [1.0, 2.0]], [math.nan, 1.0], [1.0, math.inf],
    [None] * 8, [5e-324] * 8, [1e-320 * (n + 1) for n in range(8)], [1e200] * 8, [10**400] * 8, [0.0] * 8, [1j] * 8,
    np.zeros((0, 3)), np.array(["2020-01-01"] * 8, dtype="datetime64[D]"), np.ma.masked_equal(np.arange(8.0), 3),
    pd.Series([1.0] * 7 + [None], dtype="Float64"), pd.DataFrame(), lambda: 0,
]  # fmt: skip


def functions() -> Iterator[Callable[..., Any]]:
    for module in MODULES:
        for name, found in inspect.getmembers(module, inspect.isfunction):
            if found.__module__ == module.__name__ and not name.startswith("_") and name not in CHECKERS:
                yield found


def numbers_in(result: Any) -> Iterator[float]:
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        for field in dataclasses.fields(result):
            yield from numbers_in(getattr(result, field.name))
    elif isinstance(result, dict):
        yield from numbers_in(list(result.values()))
    elif isinstance(result, list | tuple):
        for part in result:
            yield from numbers_in(part)
    elif isinstance(result, np.ndarray | float | pd.Series):
        yield from np.asarray(result, dtype=np.float64).ravel().tolist()


def test_every_public_function_is_in_the_table() -> None:
    assert {found.__name__ for found in functions()} == set(GOOD)


@pytest.mark.parametrize("function", list(functions()), ids=lambda found: found.__name__)
def test_bad_arguments_are_one_line_or_do_no_harm(function: Callable[..., Any]) -> None:
    good = GOOD[function.__name__]
    function(**good)
    for argument in good:
        for bad in BAD:
            where = f"{function.__name__}({argument}={bad!r})"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    result = function(**{**good, argument: bad})
            except StatisticsError as error:
                said = str(error)
            except Exception as error:
                raise AssertionError(f"{where}: {error!r}") from error
            else:
                said = "sound numbers"
                found = list(numbers_in(result))
                infinite = function.__name__ in MAY_BE_INFINITE
                assert not any(math.isnan(x) or (math.isinf(x) and not infinite) for x in found), (where, result)
            assert "\n" not in said, where
            assert 10 < len(said) < 400, where


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power.power(1.0, math.inf, 10, 0.05), r"sd: expected a number in \[1e-100, 1e\+100\], got inf"),
        (lambda: power.seeds_needed(1.0, 1.0, 0.05, -1), r"target power: expected a number in \(0, 1\), got -1"),
        (lambda: intervals.bootstrap(effects.mean_difference, T, B, level=-0.5, resamples=100, rng=rng()),
         r"level: expected a number in \(0, 1\), got -0.5"),
        (lambda: trend.growth([[1.0, 2.0]], [4, math.nan]), "trend: ratios: expected finite values, got nan"),
        (lambda: paired.paired_t([1e-320, 3e-320, 2e-320], [0.0, 0.0, 0.0]), r"treatment: expected sizes in \[1e-100"),
        (lambda: paired.wilcoxon(["a", "b", "c"], [1, 2, 3]), "treatment: expected numbers, got"),
        (lambda: paired.wilcoxon(np.ma.masked_equal([1.0, 2, 3], 2), [0, 0, 0]), "treatment: expected no masked"),
    ],
)  # fmt: skip
def test_what_used_to_give_nonsense_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        call()
