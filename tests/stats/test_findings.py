"""Findings and statuses: one region, the statistic's direction, and errors as rare as alpha says."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ncf.stats.checks import StatisticsError
from ncf.stats.findings import FINDINGS, STATUSES, findings, statuses
from ncf.stats.paired import wilcoxon_of_many

B, W, E, U, I = range(5)  # noqa: E741


def found(direction: list[int], p: list[float], p_equivalent: list[float]) -> tuple[list[str], list[str]]:
    alone, surviving = findings(np.array(direction), np.array(p), np.array(p_equivalent), 0.05)
    return [FINDINGS[n] for n in alone], [FINDINGS[n] for n in surviving]


@pytest.mark.parametrize(
    ("direction", "p", "p_equivalent", "finding"),
    [
        (1, 0.01, 0.5, "better"),
        (-1, 0.01, 0.5, "worse"),
        (1, 0.01, 0.01, "equivalent"),  # there, and too small to matter
        (-1, 0.9, 0.01, "equivalent"),
        (1, 0.06, 0.06, "undecided"),
        (0, 1.0, 0.0, "equivalent"),  # no pair differs
        (0, 0.01, 0.5, "undecided"),
    ],
)
def test_one_region_serves_all_four(direction: int, p: float, p_equivalent: float, finding: str) -> None:
    assert found([direction], [p], [p_equivalent]) == ([finding], [finding])


def test_what_does_not_survive_the_correction_is_undecided() -> None:
    alone, surviving = found([1, 1, -1, 1], [0.04, 0.001, 0.03, 0.9], [0.9, 0.9, 0.9, 0.04])
    assert alone == ["better", "better", "worse", "equivalent"]
    assert surviving == ["undecided", "better", "undecided", "undecided"]


def test_the_correction_never_turns_one_finding_into_another() -> None:
    rng = np.random.default_rng(0)
    for correction in ("holm", "bonferroni"):
        direction, p, q = rng.choice([-1, 1], (4000, 5)), *(rng.uniform(size=(2, 4000, 5)) ** 4)
        alone, surviving = findings(direction, p, q, 0.05, correction)
        assert ((surviving == alone) | (surviving == U)).all()
        assert {FINDINGS[n] for n in np.unique(surviving)} == set(FINDINGS[:4])


@pytest.mark.parametrize(
    ("alone", "surviving", "needs", "status"),
    [
        ([B, B], [B, B], "all", "holds"),
        ([B, B], [B, U], "all", "holds"),  # each at alpha: no correction
        ([B, U], [B, U], "all", "undecided"),
        ([B, I], [B, I], "all", "undecided"),
        ([B, W], [B, W], "all", "fails"),
        ([B, W], [B, U], "all", "undecided"),  # one bad part is picked among several: corrected
        ([U, E], [U, E], "all", "fails"),
        ([W, E], [U, E], "all", "refuted"),  # every part at alpha: no correction
        ([W, E], [U, U], "all", "refuted"),
        ([B, W], [B, W], "any", "holds"),
        ([B, W], [U, W], "any", "undecided"),
        ([U, W], [U, W], "any", "undecided"),
        ([E, W], [U, W], "any", "refuted"),
        ([I, W], [I, W], "any", "undecided"),
        ([W], [W], "all", "refuted"),
    ],
)
def test_parts_add_up_to_a_status(alone: list[int], surviving: list[int], needs: str, status: str) -> None:
    assert STATUSES[int(statuses(np.array(alone), np.array(surviving), needs))] == status


def test_a_claim_never_holds_and_fails_at_once() -> None:
    """Every combination of four parts: no status depends on which question is asked first."""
    for alone in itertools.product(range(4), repeat=3):
        for lost in itertools.product([False, True], repeat=3):
            surviving = [U if gone else own for own, gone in zip(alone, lost)]
            holds = all(own == B for own in alone)
            against = any(own in (W, E) for own in surviving)
            assert not (holds and against)
            status = STATUSES[int(statuses(np.array(alone), np.array(surviving), "all"))]
            assert (status == "holds") == holds
            assert not against or status in ("fails", "refuted")


def studies(
    effects: list[float], seeds: int, draws: int, margin: float = 0.05, sd: float = 0.03
) -> tuple[np.ndarray, ...]:
    """Findings of simulated claims over a baseline of 1, with these relative effects: (draws, m) each."""
    rng = np.random.default_rng(seeds)
    b = rng.normal(1, 0.03, (draws, len(effects), seeds))
    t = b * (1 + np.array(effects)[:, None]) + rng.normal(0, sd, b.shape)
    p, direction = wilcoxon_of_many(t - b)
    low = stats.ttest_1samp(t - (1 - margin) * b, 0, axis=-1, alternative="greater").pvalue
    high = stats.ttest_1samp(t - (1 + margin) * b, 0, axis=-1, alternative="less").pvalue
    return findings(direction, p, np.maximum(low, high), 0.05)


def error(share: float, draws: int) -> float:
    """Three Monte Carlo standard errors of a share."""
    return float(3 * np.sqrt(share * (1 - share) / draws))


def test_a_claim_with_one_part_without_effect_holds_as_rarely_as_alpha_says() -> None:
    """The worst case for "all": every other part certain. No correction is needed."""
    alone, surviving = studies([0.0, 2.0, 2.0, 2.0], 10, 4000, sd=0.3)  # too noisy to be equivalent
    holds = (statuses(alone, surviving, "all") == 0).mean()
    assert abs(holds - 0.049 / 2) <= error(0.0245, 4000)  # the size of the exact test at 10 pairs, one side


def test_a_claim_whose_parts_all_have_the_smallest_effect_fails_as_rarely_as_alpha_says() -> None:
    alone, surviving = studies([0.05] * 4, 10, 4000)
    status = statuses(alone, surviving, "all")
    assert ((status == 1) | (status == 2)).mean() <= 0.05 + error(0.05, 4000)


def test_without_any_effect_a_better_one_is_found_as_rarely_as_alpha_says() -> None:
    alone, surviving = studies([0.0] * 4, 10, 4000, sd=0.3)
    assert (statuses(alone, surviving, "any") == 0).mean() <= 0.05 + error(0.05, 4000)
    assert np.isin(surviving, [B, W]).any(-1).mean() <= 0.05 + error(0.05, 4000)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [8, 10, 30, 36])
@pytest.mark.parametrize("parts", [2, 4, 12])
def test_errors_are_as_rare_as_alpha_says_at_the_sizes_of_studies(seeds: int, parts: int) -> None:
    draws = 20_000
    bound = 0.05 + error(0.05, draws)
    holds = (statuses(*studies([0.0, *[3.0] * (parts - 1)], seeds, draws, sd=0.3), "all") == 0).mean()
    failing = statuses(*studies([0.05] * parts, seeds, draws), "all")
    fails = np.isin(failing, [1, 2]).mean()
    alone, surviving = studies([0.0] * parts, seeds, draws, sd=0.3)
    any_holds = (statuses(alone, surviving, "any") == 0).mean()
    single = np.isin(surviving, [B, W]).any(-1).mean()
    print(
        f"{seeds} seeds, {parts} parts: holds {holds:.4f}, fails {fails:.4f}, any {any_holds:.4f}, single {single:.4f}"
    )
    assert max(holds, fails, any_holds, single) <= bound


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: findings([1], [0.1], [0.1, 0.2], 0.05), "findings: expected equal shapes"),
        (lambda: findings([1], [1.1], [0.1], 0.05), "p-values: expected values in"),
        (lambda: findings([1], [0.1], [0.1], 0.05, "none"), "one of holm, bonferroni, benjamini_hochberg, got 'none'"),
        (lambda: statuses([0], [9], "all"), "findings: expected equal shapes of positions"),
        (lambda: statuses([0], [0], "most"), "needs: expected one of all, any, got 'most'"),
    ],
)
def test_bad_families_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        call()
