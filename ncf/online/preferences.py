"""Which ranker do interleaved lists speak for? Clicks are credited by session, then sessions are averaged."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ncf.errors import DataError
from ncf.stats.checks import Array, StatisticsError, fraction, one_of, table
from ncf.stats.estimate import Estimate, mean_estimate
from ncf.stats.multiplicity import holm

METHODS = ("team_draft", "probabilistic", "optimised", "balanced")
BALANCED = (
    "balanced interleaving is biased: clicks at random prefer one of two rankings that differ by a shift, such as bcda "
    "to abcd; use team draft"
)
FEW_CLUSTERS = 20
_ROUNDING = 1e-12  # of a session's credit, as a share of it


@dataclass(frozen=True)
class Preference:
    """One ranker against another.

    Attributes:
        first: the ranker that negative values speak for.
        second: the ranker that positive values speak for.
        estimate: mean credit of `second` minus `first` a session.
        wins: sessions that `second` won.
        losses: sessions that `first` won.
        ties: sessions with equal credit, those without a click among them.
        p_sign: two-sided p of the sign test over sessions that were not tied.
        p_corrected: p of the estimate, corrected by Holm for all pairs of rankers.
    """

    first: str
    second: str
    estimate: Estimate
    wins: int
    losses: int
    ties: int
    p_sign: float
    p_corrected: float


def session_credits(frame: pd.DataFrame, *, session: str, ranker: str, clicks: str) -> tuple[list[str], Array, Array]:
    """Return the rankers (M,), in alphabetical order, the sessions (S,), and the credit (S, M) of each.

    Args:
        frame: a row for each item that was shown, or for each that was clicked and one at least for each session.
        session: its column with the session.
        ranker: its column with the ranker that the item is credited to.
        clicks: its column with how often it was clicked, or what those clicks are worth to that ranker.

    Raises:
        DataError: fewer than two rankers or sessions, negative clicks, or no click at all.
    """
    sessions, ids = pd.factorize(frame[session])
    teams, names = pd.factorize(frame[ranker].astype(str), sort=True)
    values = frame[clicks].to_numpy(np.float64)
    if len(names) < 2:
        raise DataError(f"{ranker}: expected two rankers or more, found {', '.join(map(str, names))}")
    if len(ids) < 2:
        raise DataError(f"{session}: expected two sessions or more, found {len(ids)}")
    if values.min() < 0:
        row = int(values.argmin())
        raise DataError(f"data, row {row + 1}: expected {clicks} of 0 or more, found {values[row]:g}")
    if not values.any():
        raise DataError(f"{clicks}: expected clicks, found none in {len(ids):,} sessions")
    credit = np.bincount(sessions * len(names) + teams, values, minlength=len(ids) * len(names))
    return [str(name) for name in names], np.asarray(ids), credit.reshape(len(ids), len(names))


def preferences(
    names: list[str], credit: Array, *, clusters: Array | None = None, method: str = "team_draft", level: float = 0.95
) -> list[Preference]:
    """Return each pair of rankers, compared over sessions.

    Args:
        names: of the M rankers.
        credit: (S, M), credit of each in each session.
        clusters: (S,), whose session it was: sessions of one user are no independent evidence. None: each another's.
        method: how the lists were made, one of `METHODS`.
        level: nominal coverage of the intervals.

    Raises:
        StatisticsError: fewer than 2 sessions or rankers, values that are not finite, or a setting out of range.
    """
    values, level = table(credit, "credit"), fraction(level, "level")
    one_of(method, "method", METHODS)
    if values.ndim != 2 or values.shape[1] != len(names) or len(names) < 2:
        raise StatisticsError(f"credit: expected (sessions, {len(names)} rankers), got {values.shape}")
    notes = (BALANCED,) if method == "balanced" else ()
    found = [
        _pair(names[i], names[j], _margins(values[:, j], values[:, i]), clusters, method, level, notes)
        for i, j in itertools.combinations(range(len(names)), 2)
    ]
    corrected = holm(np.array([pair.estimate.p() for pair in found]))
    return [replace(pair, p_corrected=float(p)) for pair, p in zip(found, corrected, strict=True)]


def sessions_needed(detect: float, spread: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return how many sessions find a mean preference of `detect`, with `spread` the standard deviation of a session's.

    Raises StatisticsError for settings out of range.
    """
    if not detect or not spread > 0:
        raise StatisticsError(f"sessions: expected a preference and a spread that are not 0, got {detect} and {spread}")
    reach = stats.norm.isf(fraction(alpha, "alpha") / 2) + stats.norm.isf(1 - fraction(power, "power"))
    return int(np.ceil((reach * spread / abs(detect)) ** 2))


def _margins(second: Array, first: Array) -> Array:
    """Return second - first (S,), 0 where they differ by rounding: thirds of clicks add up to ties too."""
    away = second - first
    return np.where(np.abs(away) > _ROUNDING * np.maximum(np.abs(second), np.abs(first)), away, 0.0)


def _pair(
    first: str, second: str, values: Array, clusters: Array | None, method: str, level: float, notes: tuple[str, ...]
) -> Preference:
    found = mean_estimate(values, estimand="preference", method=method, level=level, clusters=clusters)
    if clusters is not None and (count := len(np.unique(np.asarray(clusters)))) < FEW_CLUSTERS:
        notes = (*notes, f"{count} clusters: fewer than {FEW_CLUSTERS} give intervals that are too narrow")
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    sign = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return Preference(first, second, found.noting(*notes), wins, losses, len(values) - wins - losses, sign, found.p())
