"""`python -m experiments.benchmarks.effects [aipw] [matching] [rollout]`: seconds estimators take on large samples.

aipw: cross-fitted with linear and logistic learners, 1,000,000 units and 20 confounders, 5 folds.
matching: 100,000 treated to 1,000,000 untreated units on the logit of a known score, with replacement (ties averaged)
and without.
rollout: 10,000 units in 50 periods: two-way fixed effects, their decomposition, group-time effects with bands from
1,000 draws, and imputation.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy.special import expit

from ncf.causal import Rule, units
from ncf.causal.bacon import decompose
from ncf.causal.double import interactive, predict
from ncf.causal.group_time import group_time
from ncf.causal.imputation import imputation
from ncf.causal.matching import matching
from ncf.causal.panel import Panel
from ncf.causal.propensity import given
from ncf.causal.twfe import twfe
from ncf.stats.estimate import Estimate


def aipw(n: int = 1_000_000, columns: int = 20) -> dict[str, Callable[[], Estimate]]:
    """The cross-fitted estimate, from arrays to its interval."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, columns))
    d = (rng.random(n) < expit(x[:, 0] * 0.5 - 0.2)) * 1.0
    y = x @ np.linspace(0, 1, columns) + d + rng.normal(size=n)

    def run() -> Estimate:
        some = units(d, y, x)
        return interactive(some, predict(some))

    return {f"AIPW, cross-fitted, {n:,} x {columns}": run}


def matched(treated: int = 100_000, untreated: int = 1_000_000) -> dict[str, Callable[[], Estimate]]:
    """Matching the treated, with errors."""
    rng = np.random.default_rng(0)
    n = treated + untreated
    d = (np.arange(n) < treated) * 1.0
    position = rng.normal(-2.3 + 0.8 * d)
    y = position + d + rng.normal(size=n)
    some, known = units(d, y, position), given(expit(position))
    return {
        f"matching {treated:,} to {untreated:,}, {name}": lambda rule=rule: matching(some, known, rule)
        for name, rule in (("with replacement", Rule()), ("without", Rule(replace=False)))
    }


def rolled_out(units: int = 10_000, periods: int = 50, draws: int = 1000) -> dict[str, Callable[[], Estimate]]:
    """A staggered rollout with growing effects."""
    rng = np.random.default_rng(0)
    first = np.where(rng.random(units) < 0.2, periods, rng.integers(5, periods - 2, units))
    since = np.arange(periods) - first[:, None]
    outcome = rng.normal(size=(units, 1)) + rng.normal(size=(units, periods)) + np.where(since >= 0, 1 + 0.1 * since, 0)
    panel = Panel(outcome, since >= 0, np.ones(outcome.shape), np.arange(units), np.arange(periods))

    def run() -> Estimate:
        assert abs(decompose(panel).value - twfe(panel).value) < 1e-9
        imputation(panel)
        groups = group_time(panel)
        groups.by_time(draws=draws, rng=np.random.default_rng(1))
        return groups.average()

    return {f"rollout, {units:,} units x {periods} periods, {draws:,} draws": run}


SUBJECTS = {"aipw": aipw, "matching": matched, "rollout": rolled_out}


def main() -> None:
    """Time the subjects named on the command line, all if none is."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.effects", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", choices=[*SUBJECTS, []], metavar="subject", help="what to time; all if none is named"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each (3)")
    arguments = parser.parse_args()
    for subject in arguments.subjects or SUBJECTS:
        for name, run in SUBJECTS[subject]().items():
            seconds, processor = [], []
            for _ in range(arguments.rounds):
                start, used = time.perf_counter(), time.process_time()
                found = run()
                seconds.append(time.perf_counter() - start)
                processor.append(time.process_time() - used)
            print(
                f"{name}: {np.median(seconds):.2f} s [{min(seconds):.2f}, {max(seconds):.2f}], processor "
                f"{np.median(processor):.2f} s; estimate {found.value:.4f} ± {found.standard_error:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
