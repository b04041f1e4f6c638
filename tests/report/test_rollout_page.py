"""The page of a rollout: what it shows, and that names from data stay text."""

from pathlib import Path

import matplotlib
import numpy as np
from panels import castle_frame, staggered

from ncf.causal.panel import Panel
from ncf.causal.rollout import rollout
from ncf.report import rollout_page
from ncf.report.kit.style import RC


def test_a_page_shows_groups_events_and_comparisons(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    rollout_page.write(rollout(castle_frame(), "sid", "year", "post", "l_homicide", draws=99), page, "l_homicide")
    text = page.read_text()
    for part in ('id="cohorts"', 'id="events"', 'id="comparisons"', "later against earlier treated", "29 never"):
        assert part in text
    assert text.count("<svg") == 3
    assert list(tmp_path.iterdir()) == [page]


def test_names_from_data_stay_text(tmp_path: Path) -> None:
    panel, _ = staggered(np.random.default_rng(0), units=12)
    odd = np.array([f"<script>{i}</script> $x$" for i in range(8)])
    named = Panel(panel.outcome, panel.treated, panel.weights, panel.units, odd)
    rollout_page.write(rollout(named, draws=99), tmp_path / "page.html", "<b>y</b>")
    text = (tmp_path / "page.html").read_text()
    assert "<script>" not in text
    assert "<b>y</b>" not in text


def test_the_event_study_counts_whole_periods_and_warns_of_leaks(tmp_path: Path) -> None:
    panel, _ = staggered(np.random.default_rng(0), units=40, periods=12, first=(4, 7, 10, 12))
    found = rollout(panel, draws=99)
    with matplotlib.rc_context(RC):
        figure = rollout_page.events(found)
    assert figure is not None
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())
    rollout_page.write(found, tmp_path / "page.html", "y")
    text = (tmp_path / "page.html").read_text()
    assert "leak into it, before treatment as well" in text
    assert "weighted average of effects: " in text  # with negative weights it is no ATT
    assert "In brackets: 95% intervals." in text
