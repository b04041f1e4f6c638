"""The decomposition against diff-diff's on castle doctrine, and two-way fixed effects themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import castle, staggered

from ncf.causal.bacon import ALWAYS, EARLIER, LATER, NEVER, decompose
from ncf.causal.panel import Panel
from ncf.causal.twfe import twfe
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "did_castle.json").read_text())
NAMES = {
    "Treated vs never": NEVER,
    "Earlier treated vs later (not yet treated)": EARLIER,
    "Later treated vs earlier (already treated)": LATER,
}


def test_castle_doctrine_by_kind_and_by_comparison() -> None:
    found, expected = decompose(castle()), REFERENCE["castle_bacon_unweighted"]
    for name, share in expected["by_type"].items():
        weight, average = found.shares[NAMES[name]]
        assert weight == pytest.approx(share["weight"], abs=1e-9)
        assert average == pytest.approx(share["average_estimate"], abs=1e-9)
    own = {(a, c): (w, e) for a, c, w, e in zip(found.treated, found.control, found.weights, found.estimates,
                                                  strict=True)}  # fmt: skip
    assert len(own) == len(expected["components"])
    for part in expected["components"]:
        weight, value = own[part["treated"], part["control"] or None]
        assert weight == pytest.approx(part["weight"], abs=1e-9)
        assert value == pytest.approx(part["estimate"], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=3, max_size=14).filter(lambda f: len(set(f)) > 1 and set(f) != {0, 7}),
       st.integers(0, 10_000))  # fmt: skip
def test_weights_sum_to_one_and_reproduce_two_way_fixed_effects(first: list[int], seed: int) -> None:
    """Also with units treated from the start, and without any that never are."""
    periods, start = 7, np.array(first)
    outcome = np.random.default_rng(seed).normal(size=(len(first), periods))
    panel = Panel(outcome, np.arange(periods) >= start[:, None], np.ones(outcome.shape), start, np.arange(periods))
    found = decompose(panel)
    assert (found.weights > 0).all()
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)
    assert found.value == pytest.approx(twfe(panel).value, abs=1e-9)


def test_each_comparison_is_two_way_fixed_effects_on_its_own_groups_and_periods() -> None:
    panel, _ = staggered(np.random.default_rng(0), first=(3, 5, 8))
    found = decompose(panel)
    for kind, own, other, value in zip(found.kind, found.treated, found.control, found.estimates, strict=True):
        ends = {0: slice(0, 8), 1: slice(0, other), 2: slice(other, 8)}[int(kind)]
        rows = np.isin(panel.first, [own, 8 if other is None else other])
        part = Panel(panel.outcome[rows, ends], (panel.treated & (panel.first == own)[:, None])[rows, ends],
                     panel.weights[rows, ends], panel.units[rows], panel.periods[ends])  # fmt: skip
        assert value == pytest.approx(twfe(part).value, abs=1e-10)


def test_units_treated_from_the_start_are_named() -> None:
    panel, _ = staggered(np.random.default_rng(0), first=(0, 4))
    found = decompose(panel)
    assert set(found.shares) == {ALWAYS}
    assert found.control == [0]


def test_what_has_no_decomposition_is_refused() -> None:
    panel, _ = staggered(np.random.default_rng(0), units=6, first=(3, 8))
    holes = panel.weights.copy()
    holes[0, 0] = 0
    unbalanced = Panel(panel.outcome, panel.treated, holes, panel.units, panel.periods)
    with pytest.raises(StatisticsError, match="balanced panel, found 1 observations missing"):
        decompose(unbalanced)
    with pytest.raises(StatisticsError, match="count alike"):
        decompose(Panel(panel.outcome, panel.treated, panel.weights + np.arange(8), panel.units, panel.periods))
    ends = panel.treated.copy()
    ends[0, 7] = False
    with pytest.raises(StatisticsError, match="stays on"):
        decompose(Panel(panel.outcome, ends, panel.weights, panel.units, panel.periods))
    for first in (np.full(6, 3), np.resize([0, 8], 6)):
        with pytest.raises(StatisticsError, match="none changes against another"):
            decompose(panel.starting(first))
