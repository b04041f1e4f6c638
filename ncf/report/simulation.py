"""Regret of many simulated agents: summaries over seeds, and comparisons paired by seed. Less regret is better.

Two yardsticks are in every table and figure: the oracle, whose regret is 0, and the best fixed item, the one item that
is best for all users of a world, known to nobody beforehand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ncf.errors import ConfigError
from ncf.stats import StatisticsError
from ncf.stats.comparison import Comparison as Tested
from ncf.stats.comparison import compare
from ncf.stats.findings import FINDINGS, Finding, findings
from ncf.stats.multiplicity import holm

BEST_ITEM = "best fixed item"
_MEASURE = re.compile(r"(period|first) (\d{1,6})")
_SETTINGS = ["environment", "agent", "seed"]


def usual_measures(table: pd.DataFrame) -> tuple[str, str]:
    """Return the measures of a sweep that nobody registered: the last period, and all of them."""
    periods = int(table["period"].max()) + 1
    return f"period {periods - 1}", f"first {periods}"


def measured(table: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return a row for each environment, agent and seed of `table`, the best fixed item included.

    Args:
        table: as `ncf.runs.simulation_tables.read_simulations`.
        measures: "period 50", the regret of that period, from 0; or "first 200", cumulated over so many periods.

    Returns:
        Columns environment, agent, seed, run, config_hash, commit and the measures.

    Raises:
        ConfigError: a measure is neither, or a run has not as many periods.
    """
    runs = table.drop_duplicates("run").set_index("run")
    found = runs[[*_SETTINGS, "config_hash", "commit"]].copy()
    fixed = found.copy()
    for measure in measures:
        found[measure] = _measure(table, "regret", measure)
        fixed[measure] = _measure(table, "best_item_regret", measure)
    fixed = fixed.drop_duplicates(["environment", "seed"]).assign(agent=BEST_ITEM, config_hash="", commit="")
    fixed.index = pd.Index(["" for _ in fixed.index], name="run")
    rows = pd.concat([found, fixed]).reset_index().sort_values(_SETTINGS, kind="stable", ignore_index=True)
    return rows[[*_SETTINGS, *measures, "run", "config_hash", "commit"]].drop_duplicates(_SETTINGS, ignore_index=True)


def _measure(table: pd.DataFrame, column: str, measure: str) -> pd.Series:
    """Return a measure by run."""
    parts = _MEASURE.fullmatch(measure)
    if parts is None:
        raise ConfigError(f'measure: expected "period 50" or "first 200", got {measure!r}')
    number, least = int(parts[2]), table.groupby("run")["period"].max().min() + 1
    if number >= least + (parts[1] == "first"):
        raise ConfigError(f"measure: expected a period that all simulations have, of {least}, got {measure!r}")
    if parts[1] == "period":
        return table[table["period"] == number].set_index("run")[column]
    return table[table["period"] < number].groupby("run")[column].sum()


def curves(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return regret over time: a row for each environment, agent (the best fixed item too) and period.

    Columns: seeds, regret, its interval `low` to `high`, and the same of the cumulated regret: t intervals over seeds
    (NaN for one seed).
    """
    own = table[[*_SETTINGS, "period", "regret"]]
    fixed = table.drop_duplicates(["environment", "seed", "period"])
    fixed = fixed[["environment", "seed", "period"]].assign(agent=BEST_ITEM, regret=fixed["best_item_regret"])
    long = pd.concat([own, fixed]).sort_values([*_SETTINGS, "period"], kind="stable")
    long["cumulative"] = long.groupby(_SETTINGS)["regret"].cumsum()
    groups = long.groupby(["environment", "agent", "period"])[["regret", "cumulative"]]
    means, errors, counts = groups.mean(), groups.sem(), groups.size()
    half = errors.mul(stats.t.isf((1 - level) / 2, (counts - 1).clip(lower=1)), axis=0)
    columns = {"seeds": counts}
    for name, ends in (("regret", ("low", "high")), ("cumulative", ("cumulative_low", "cumulative_high"))):
        columns |= {name: means[name], ends[0]: means[name] - half[name], ends[1]: means[name] + half[name]}
    return pd.DataFrame(columns).reset_index()


@dataclass(frozen=True)
class Comparison:
    """An agent against another in one measure, over the seeds that both have.

    Attributes:
        change: of the mean regret, relative to the other's, with the interval `low` to `high`; NaN without a test.
        p: exact two-sided Wilcoxon p, and its correction over the comparisons made together in `corrected`.
        p_equivalent: TOST p against the margin, corrected likewise.
        finding: "better" is less regret.
        obstacle: why no test could be made, which leaves it undecided; empty if one was.
    """

    treatment: str
    against: str
    measure: str
    seeds: int
    treatment_mean: float
    against_mean: float
    change: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = 1.0
    corrected: float = 1.0
    p_equivalent: float = 1.0
    finding: Finding = "undecided"
    obstacle: str = ""


def compared(
    results: pd.DataFrame, pairs: Sequence[tuple[str, str, str]], *, margin: float, alpha: float, level: float,
    resamples: int, rng: np.random.Generator,
) -> list[Comparison]:  # fmt: skip
    """Compare agents in one environment, paired by seed, with Holm's correction over all of `pairs`.

    One that no test can judge stays in the family with p = 1, so that it makes nothing else look clearer.

    Args:
        results: of one environment, as `measured`.
        pairs: (agent, other agent, measure).
        margin: smallest relative change of regret of interest.
        alpha: level of the findings.
        level: nominal coverage of the intervals, of one comparison.
        resamples: of the bootstrap.
        rng: draws them.
    """
    tested: list[tuple[Comparison, Tested | None]] = []
    if not pairs:
        return []
    for treatment, against, measure in pairs:
        sides = [results[results["agent"] == agent].set_index("seed")[measure] for agent in (treatment, against)]
        shared = sorted(set(sides[0].index) & set(sides[1].index))
        own, other = (side.loc[shared].to_numpy(float) for side in sides)
        found, obstacle = None, ""
        try:
            found = compare(own, other, margin=margin, level=level, resamples=resamples, rng=rng)
        except StatisticsError as error:  # must not prevent the others
            obstacle = str(error)
        means = (float(own.mean()), float(other.mean())) if shared else (np.nan, np.nan)
        plain = Comparison(treatment, against, measure, len(shared), means[0], means[1], obstacle=obstacle)
        tested.append((plain, found))
    p, p_equivalent = (
        np.array(values) for values in zip(*((t.wilcoxon.p, t.equivalence.p) if t else (1.0, 1.0) for _, t in tested))
    )
    directions = np.array([-t.wilcoxon.direction if t else 0 for _, t in tested])
    _, surviving = findings(directions, p, p_equivalent, alpha)
    corrected, corrected_equivalent = holm(p), holm(p_equivalent)
    rest = zip(corrected, corrected_equivalent, surviving, strict=True)
    return [plain if found is None else _filled(plain, found, *one) for (plain, found), one in zip(tested, rest)]


def _filled(plain: Comparison, found: Tested, corrected: float, equivalent: float, finding: int) -> Comparison:
    change = found.effects["relative_change"]
    return replace(
        plain, change=change.estimate, low=change.low, high=change.high, p=found.wilcoxon.p,
        corrected=float(corrected), p_equivalent=float(equivalent), finding=FINDINGS[int(finding)],
    )  # fmt: skip
