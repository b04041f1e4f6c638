"""What a staged rollout did: estimates side by side, the event study, and what two-way fixed effects compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.causal.bacon import ALWAYS, LATER, Decomposition, decompose
from ncf.causal.group_time import CONTROLS, GroupTime, group_time
from ncf.causal.imputation import imputation
from ncf.causal.panel import Panel, panel
from ncf.causal.randomisation import Randomisation, randomisation
from ncf.causal.twfe import EventStudy, event_study, placebo, twfe
from ncf.core.rng import numpy_generator
from ncf.data.frame import read_frame
from ncf.errors import ConfigError
from ncf.stats.checks import StatisticsError, fraction, one_of, whole
from ncf.stats.estimate import Estimate, table

ESTIMATORS = ("twfe", "group_time", "imputation")
SMALL_COHORT = 5
NO_STUDY = (
    "no event study of twfe: without units that are never treated, effects by time since treatment cannot be told from "
    "a trend"
)


@dataclass(frozen=True, eq=False)
class Rollout:
    """What was found.

    Attributes:
        panel: the data.
        results: an estimate by estimator.
        studies: an event study by estimator, of those that have one.
        groups: effects of cohorts in periods; None if they were not asked for.
        decomposition: of two-way fixed effects; None if the panel has none.
        placebos: estimates of a treatment 1, 2, ... periods before the true one.
        randomisation: None for a panel that is not balanced, or weighted.
        warnings: what a reader has to know, one sentence each.
    """

    panel: Panel
    results: dict[str, Estimate]
    studies: dict[str, EventStudy]
    groups: GroupTime | None
    decomposition: Decomposition | None
    placebos: dict[int, Estimate]
    randomisation: Randomisation | None
    warnings: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each estimator; see `ncf.stats.estimate.table`."""
        frame = table(list(self.results.values()))
        frame.insert(0, "estimator", list(self.results))
        return frame

    @property
    def overview(self) -> dict[str, int]:
        """Sizes: units, periods, observations, cohorts, units treated, never treated, and treated from the start."""
        first, length = self.panel.first, len(self.panel.periods)
        return {
            "units": len(first), "periods": length, "observations": int(self.panel.observed.sum()),
            "cohorts": len(self.panel.cohorts), "treated": int((first < length).sum()),
            "never_treated": int((first == length).sum()), "always_treated": int((first == 0).sum()),
        }  # fmt: skip

    @property
    def events(self) -> pd.DataFrame:
        """A row for each estimator and time since treatment: estimate, interval and simultaneous band."""
        rows = [
            {"estimator": name, "time": int(time), "value": e.value, "standard_error": e.standard_error, "low": e.low,
             "high": e.high, "band_low": band[0], "band_high": band[1]}
            for name, study in self.studies.items()
            for time, e, band in zip(study.times, study.estimates, study.bands, strict=True)
        ]  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def comparisons(self) -> pd.DataFrame:
        """A row for each kind of comparison behind two-way fixed effects: its weight and its average estimate."""
        shares = {} if self.decomposition is None else self.decomposition.shares
        return pd.DataFrame(
            [(kind, *share) for kind, share in shares.items()], columns=["comparison", "weight", "estimate"]
        )


def rollout(
    data: Panel | pd.DataFrame | Path | str, unit: str = "", time: str = "", treated: str = "", outcome: str = "", *,
    weights: str | None = None, estimators: Sequence[str] = ESTIMATORS, control: str = "never", draws: int = 999,
    level: float = 0.95, seed: int = 0,
) -> Rollout:  # fmt: skip
    """Estimate what a staged rollout did, with the diagnostics that say whether to believe it.

    Args:
        data: a frame or the path of a CSV, TSV or Parquet file with a row for each unit and period, or a panel.
        unit: column with the unit.
        time: column with the period.
        treated: column of 0 and 1.
        outcome: column of numbers.
        weights: column of weights; then only two-way fixed effects and imputation are estimated.
        estimators: some of `ESTIMATORS`.
        control: of group_time: "never" treated units, or those "not_yet" treated.
        draws: of simultaneous bands, and of randomisation inference, 10 times as many.
        level: nominal coverage of the intervals.
        seed: of the draws.

    Raises:
        ConfigError, DataError, StatisticsError: a setting is out of range, or the data are not fit.
    """
    names = list(dict.fromkeys(estimators))
    for name in names:
        one_of(name, "estimators", ESTIMATORS)
    one_of(control, "control", CONTROLS), fraction(level, "level"), whole(draws, "draws", 99)
    if not names:
        raise ConfigError(f"estimators: expected some of {', '.join(ESTIMATORS)}, got none")
    if not isinstance(data, Panel):
        columns = [unit, time, treated, outcome, *([weights] if weights else [])]
        label = "data" if isinstance(data, pd.DataFrame) else str(data)
        data = panel(read_frame(data, columns), unit=unit, time=time, treated=treated, outcome=outcome,
                     weights=weights, label=label)  # fmt: skip
    return _analysed(data, names, control, draws, level, seed)


def _analysed(data: Panel, names: list[str], control: str, draws: int, level: float, seed: int) -> Rollout:
    notes: list[str] = []
    even = data.balanced and bool(np.ptp(data.weights) == 0)
    if not even and "group_time" in names:
        names = [name for name in names if name != "group_time"]
        notes.append("group_time is left out: it needs a balanced panel without weights")
    results, studies, groups = {}, {}, None
    if "twfe" in names:
        results["twfe"] = twfe(data, level=level)
        if data.absorbing and _has_reference(data):
            if (data.first == len(data.periods)).any():
                rng = numpy_generator(seed, "rollout/twfe")
                studies["twfe"] = event_study(data, level=level, draws=draws, rng=rng)
            else:
                notes.append(NO_STUDY)
    if "group_time" in names:
        groups = group_time(data, control=control)
        results["group_time"] = groups.average(level=level)
        rng = numpy_generator(seed, "rollout/group_time")
        studies["group_time"] = groups.by_time(level=level, draws=draws, rng=rng)
    if "imputation" in names:
        results["imputation"] = imputation(data, level=level)
    parts = decompose(data) if even and data.absorbing and len(np.unique(data.first)) > 1 else None
    dealt = randomisation(data, draws=10 * draws, rng=numpy_generator(seed, "rollout/randomisation")) if even else None
    notes += [note for e in results.values() for note in e.warnings] + _warnings(data, parts, groups)
    return Rollout(data, results, studies, groups, parts, _placebos(data, level), dealt, tuple(dict.fromkeys(notes)))


def _has_reference(data: Panel) -> bool:
    ever = data.first < len(data.periods)
    return bool((data.first[ever] > 0).any())


def _placebos(data: Panel, level: float, most: int = 3) -> dict[int, Estimate]:
    """Return the placebos that the periods before treatment allow, up to `most` periods ahead."""
    found = {}
    for ahead in range(1, most + 1):
        try:
            found[ahead] = placebo(data, ahead=ahead, level=level)
        except StatisticsError:
            break
    return found


def _warnings(data: Panel, parts: Decomposition | None, groups: GroupTime | None) -> list[str]:
    notes = []
    if parts is not None:
        late = sum(weight for kind, (weight, _) in parts.shares.items() if kind in (LATER, ALWAYS))
        if late > 0:
            notes.append(f"{late:.1%} of the weight of two-way fixed effects holds units against others that are "
                         "treated already")  # fmt: skip
    if not data.balanced:
        notes.append(f"{int((~data.observed).sum()):,} of {data.observed.size:,} observations are missing: no "
                     "decomposition, group-time effects or randomisation test")  # fmt: skip
    if groups is not None:
        sizes = np.bincount(groups.member[groups.member >= 0])
        if (few := int((sizes < SMALL_COHORT).sum())) > 0:
            notes.append(f"{few} of {len(sizes)} cohorts have fewer than {SMALL_COHORT} units: the errors of their "
                         "effects are too small")  # fmt: skip
        if (gone := int((data.first == 0).sum())) > 0:
            notes.append(f"{gone} units were treated from the start: group-time effects leave them out")
    return notes
