"""Whether an experiment can be believed at all: units by arm, arms alike before it began, exposure, overlaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from ncf.online.means import welch
from ncf.stats.checks import Array, StatisticsError, sample, whole

REFUSED_BELOW = 0.001
"""p of a sample-ratio mismatch below which no effect is shown: chance makes one in a thousand experiments so."""

State = Literal["ok", "warning", "refused"]


@dataclass(frozen=True)
class Check:
    """What one check of an experiment's health found.

    Attributes:
        name: of the check.
        state: "ok", "warning", or "refused": the effects mean nothing.
        says: one sentence.
        details: the numbers behind it.
    """

    name: str
    state: State
    says: str
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleRatio:
    """A test of the arms' sizes against their intended shares.

    Attributes:
        counts: units of each arm.
        expected: units that the shares would give.
        chi2: Pearson's statistic.
        p: of chi2, arms - 1 degrees of freedom.
        p_exact: binomial, two-sided, of two arms; None of more.
    """

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    chi2: float
    p: float
    p_exact: float | None


def p_text(p: float | None) -> str:
    """Write a p-value with two digits, or what bounds it; nothing for None."""
    if p is None:
        return ""
    return "< 1e-15" if p < 1e-15 else f"{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def shown(name: str) -> str:
    """Write the name of an arm; in quotes if its blanks would not be seen."""
    return name if name and name == name.strip() else repr(name)


def sample_ratio(counts: Sequence[int], shares: Sequence[float] | None = None) -> SampleRatio:
    """Test whether arms have the sizes that they were meant to have (sample-ratio mismatch; Fabijan et al. 2019).

    A mismatch says that units were lost or added in a way that depends on the arm, which no method mends.

    Args:
        counts: units of each arm.
        shares: intended, of any sum; None: equal.

    Raises StatisticsError for fewer than two arms, negative counts, shares that are not positive, or no units.
    """
    found = [whole(count, "counts", 0, 10**12) for count in counts]
    wanted = sample([1.0] * len(found) if shares is None else shares, 1, "shares")
    if len(found) < 2 or len(wanted) != len(found) or not any(found):
        raise StatisticsError(f"sample ratio: expected units and a share for each of two arms or more, got {counts}")
    if wanted.min() <= 0:
        raise StatisticsError(f"shares: expected positive ones, got {wanted.min():g}")
    wanted = wanted / wanted.sum()
    total = sum(found)
    test = stats.chisquare(found, wanted * total)
    exact = float(stats.binomtest(found[0], total, wanted[0]).pvalue) if len(found) == 2 else None
    return SampleRatio(
        tuple(found), tuple(map(float, wanted * total)), float(test.statistic), float(test.pvalue), exact
    )


def sample_ratio_check(counts: Mapping[str, int], shares: Mapping[str, float] | None) -> Check:
    """Return `sample_ratio` as a check, "refused" below p 0.001. Raises StatisticsError for shares of other arms."""
    if shares and set(shares) != set(counts):
        raise StatisticsError(
            f"shares: expected one for each of {', '.join(counts)}, got {', '.join(shares) or 'none'}"
        )
    found = sample_ratio(list(counts.values()), [shares[arm] for arm in counts] if shares else None)
    sizes = ", ".join(
        f"{shown(arm)} {n:,} of {e:,.0f}" for (arm, n), e in zip(counts.items(), found.expected, strict=True)
    )
    state: State = "refused" if found.p < REFUSED_BELOW else "ok"
    says = f"{sizes} expected (p {p_text(found.p)})" if state == "ok" else (
        f"sample-ratio mismatch: {sizes} expected (p {p_text(found.p)}, below {REFUSED_BELOW}); "
        "units were lost or added by arm, and no effect can be read from the rest"
    )  # fmt: skip
    return Check("sample ratio", state, says, {"chi2": found.chi2, "p": found.p})


def carry_over(before: Array, treated: Array, name: str) -> Check:
    """Check that arms were alike in what was measured before the experiment began.

    Args:
        before: (N,), from before the assignment.
        treated: (N,) bool.
        name: of the column.

    Returns:
        A check that warns below p 0.01: an earlier experiment may still act, or the assignment was not random.

    Raises StatisticsError as `means.welch`.
    """
    found = welch(before, treated).absolute
    p = found.p()
    numbers = {"difference": found.value, "p": p}
    if p >= 0.01:
        return Check(f"{name} before", "ok", f"{name} was alike in both arms before (p {p_text(p)})", numbers)
    says = (f"{name} differed between the arms before the experiment began (by {found.value:+.3g}, p {p_text(p)}): an "
            "earlier experiment may still act, or the assignment was not random")  # fmt: skip
    return Check(f"{name} before", "warning", says, numbers)


def exposure(values: Array, exposed: Array, treated: Array, metric: str, name: str) -> Check:
    """Check whether a metric goes with how much a unit was exposed, and whether the arms were exposed alike.

    Where the treatment changes exposure (more sessions, more days), a metric that grows with it moves for that reason
    alone, and one per exposure is taken over other exposures in each arm.

    Args:
        values: (N,), the metric.
        exposed: (N,), such as sessions or days.
        treated: (N,) bool.
        metric: its name.
        name: of the exposure.

    Returns:
        A check that warns where the arms' exposure differs (p < 0.01) and the metric goes with it (p < 0.001).
    """
    if not np.ptp(exposed) or not np.ptp(values):
        return Check(f"{metric} and {name}", "ok", f"{metric} or {name} is the same for every unit", {})
    r, p_r = (float(part) for part in stats.pearsonr(values, exposed))
    found = welch(exposed, treated).absolute
    details = {"correlation": r, "p_correlation": p_r, "difference": found.value, "p": found.p()}
    if p_r < 0.001 and found.p() < 0.01:
        says = (f"{metric} is correlated with exposure ({name}: r {r:.2f}), and {name} differs between the arms (by "
                f"{found.value:+.3g}, p {p_text(found.p())}): part of its effect, or all, is exposure")  # fmt: skip
        return Check(f"{metric} and {name}", "warning", says, details)
    says = f"{name} is alike in both arms (p {p_text(found.p())}); its correlation with {metric} is {r:.2f}"
    return Check(f"{metric} and {name}", "ok", says, details)
