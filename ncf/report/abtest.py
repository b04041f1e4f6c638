"""The page of an online experiment: its effects against the region, looks, posteriors, days, segments and health."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ncf.core.files import write_text
from ncf.core.formats import as_csv, as_json
from ncf.errors import DataError
from ncf.online.bayes import density
from ncf.online.health import p_text
from ncf.online.result import ABTest, Compared
from ncf.report.kit.inline import inline
from ncf.report.kit.markup import Table
from ncf.report.kit.page import PAGE
from ncf.report.kit.prose import Prose
from ncf.report.kit.style import COLOURS, GREY, LIGHT, WIDTH, percent_ticks
from ncf.report.sections.comparisons import FINDINGS
from ncf.report.staging import staged, written

RESULT, ESTIMATES = "result.json", "estimates.csv"
_MOST_ROWS, _MOST_PANELS = 40, 6


def write(found: ABTest, output: Path, formats: Sequence[str] = ("svg", "png")) -> Path:
    """Write report.html, figures/, estimates.csv and, last, result.json to `output`; return the page.

    What an earlier report wrote there is replaced.

    Raises:
        DataError: a result.json or estimates.csv there is not of a report, or another process writes one there.
        FileError: the folder cannot be written to.
    """
    for name in (RESULT, ESTIMATES):
        if (output / name).exists() and name not in written(output):
            raise DataError(f"{output / name}: expected what a report wrote, found another file; name another output=")
    with staged(output) as folder:
        build(found, folder, formats)
    return output / PAGE


def build(found: ABTest, folder: Path, formats: Sequence[str]) -> None:
    """Make the whole report in the empty `folder`."""
    (folder / "figures").mkdir()
    figures = inline(FIGURES, found, folder / "figures", formats)
    tables = [table for table in (effects_table(found), posteriors_table(found), segments_table(found)) if table.rows]
    context = {"figures": figures, "tables": tables, "answers": [_answer(found, one) for one in found.compared]}
    write_text(folder / PAGE, Prose(found, html=True).page("abtest.html.j2", context))
    write_text(folder / ESTIMATES, as_csv(found.table()))
    write_text(folder / RESULT, as_json(found.to_dict()))


def _answer(found: ABTest, one: Compared) -> dict[str, str]:
    relative, (low, high) = one.effect.relative, one.ends
    share = f" ({relative.value:+.1%})" if relative else ""
    says = f"{one.effect.absolute.value:+.4g}{share}, {found.settings.level:.4g} interval {low:+.4g} to {high:+.4g}"
    return {"finding": one.finding, "metric": one.metric, "arm": one.arm, "says": says}


def effects_table(found: ABTest) -> Table:
    """Return every metric and treatment with what its finding rests on."""
    rows = [
        [one.metric, one.arm, f"{one.effect.control:.5g}", f"{one.effect.treatment:.5g}",
         f"{one.effect.absolute.value:+.4g}", f"[{one.ends[0]:+.4g}, {one.ends[1]:+.4g}]", _relative(one),
         p_text(one.shown_p), p_text(one.shown_p_adjusted), p_text(one.p_equivalent), one.effect.absolute.method,
         f"{one.effect.absolute.n:,}", one.finding]
        for one in found.compared
    ]  # fmt: skip
    header = ["metric", "arm", "control", "treatment", "effect", "interval", "relative", "p", "corrected p",
              "equivalence p", "method", "units", "finding"]  # fmt: skip
    note = (
        f"Each arm against {found.control}. Equivalence p: two one-sided tests against the region. Relative intervals "
        "are those of the log ratio."
    )
    return Table("Effects", header, rows, note)


def posteriors_table(found: ABTest) -> Table:
    """Return the posteriors of metrics of 0 and 1."""
    rows = [
        [one.metric, one.arm, f"{p.probability:.4f}", f"{p.difference:+.4g}",
         f"[{p.interval_difference[0]:+.4g}, {p.interval_difference[1]:+.4g}]", f"{p.loss:.3g}",
         f"{p.loss_control:.3g}"]
        for one in found.compared if (p := one.posterior) is not None
    ]  # fmt: skip
    header = ["metric", "arm", "P(better)", "difference", "credible interval", "expected loss if chosen", "if not"]
    note = (
        "Uniform priors. To stop when one of these passes a limit does not control the error rate: looked at 30 times, "
        "P > 0.95 for either arm declares a winner in 46% of tests without any difference."
    )
    return Table("Posteriors", header, rows, note)


def segments_table(found: ABTest) -> Table:
    """Return the effects by segment."""
    rows = [
        [one.metric, one.arm, f"{s.column} = {s.value}", f"{s.n:,}", f"{s.effect:+.4g}",
         f"[{s.low:+.4g}, {s.high:+.4g}]", p_text(s.p_adjusted), p_text(s.p_differs)]
        for one in found.compared for s in one.segments
    ]  # fmt: skip
    header = ["metric", "arm", "segment", "units", "effect", "interval", "corrected p", "p that all are the same"]
    note = "Exploratory. Corrected p: Holm over the values of a column. Intervals are not corrected."
    return Table("Segments", header, rows, note)


def effects(found: ABTest) -> Figure | None:
    """Draw every effect with its interval: relative ones against the margin, absolute ones a metric a panel."""
    if not found.compared:
        return None
    relative = found.settings.region is None and all(one.effect.relative and not one.looks for one in found.compared)
    groups = [list(found.compared)[:_MOST_ROWS]] if relative else _by_metric(found)
    heights = [0.7 + 0.34 * len(group) for group in groups]
    figure = Figure(figsize=(WIDTH, 0.9 + sum(heights)))
    panels = np.atleast_1d(figure.subplots(len(groups), 1, height_ratios=heights))
    for ax, group in zip(panels, groups, strict=True):
        _forest(ax, found, group, relative)
    for name in ("better", "worse", "equivalent", "undecided"):
        colour, marker, filled = FINDINGS[name]
        panels[0].plot([], [], marker, color=colour, markerfacecolor=colour if filled else "white", label=name)
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def _by_metric(found: ABTest) -> list[list[Compared]]:
    names = list(dict.fromkeys(one.metric for one in found.compared))[:_MOST_PANELS]
    return [[one for one in found.compared if one.metric == name][:_MOST_ROWS] for name in names]


def _forest(ax: Axes, found: ABTest, group: Sequence[Compared], relative: bool) -> None:
    margin = found.settings.margin
    region = (-margin, margin) if relative and margin else found.settings.region
    if not relative and margin:
        region = (-margin * abs(group[0].effect.control), margin * abs(group[0].effect.control))
    if region is not None:
        label = "region of equivalence" if group[0] is found.compared[0] else None
        ax.axvspan(*region, color=LIGHT, alpha=0.5, zorder=0, linewidth=0, label=label)
    ax.axvline(0, color="black", linewidth=0.9)
    for y, one in enumerate(group):
        colour, marker, filled = FINDINGS[one.finding]
        own = one.effect.relative if relative else None
        value, ends = (own.value, (own.low, own.high)) if own else (one.effect.absolute.value, one.ends)
        ax.plot(ends, [y, y], color=colour, linewidth=1.8)
        ax.plot(value, y, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=7)
    many = len(found.sizes) > 2
    ax.set_yticks(range(len(group)), [_plain(f"{one.metric}, {one.arm}" if many else one.metric) for one in group])
    ax.set_ylim(len(group) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    if relative:
        percent_ticks(ax, "x")
    what = "relative effect" if relative else f"effect on {_plain(group[0].metric)}"
    ax.set_xlabel(f"{what} against {_plain(found.control)}, {found.settings.level:.4g} interval")


def looks(found: ABTest) -> Figure | None:
    """Draw the bounds of the planned looks, and the path of z."""
    own = [one for one in found.compared if one.looks][:_MOST_PANELS]
    if not own:
        return None
    figure = Figure(figsize=(WIDTH, 0.5 + 2.9 * len(own)))
    for ax, one in zip(np.atleast_1d(figure.subplots(len(own), 1)), own, strict=True):
        planned = one.looks
        assert planned is not None
        known = [(at, bound) for at, bound in zip(planned.planned, planned.bounds, strict=True) if bound is not None]
        x, bounds = [at for at, _ in known], np.array([bound for _, bound in known])
        for sign in (1, -1):
            ax.plot(x, sign * bounds, "o-", color=COLOURS[4], markersize=4, label="bound" if sign > 0 else None)
        seen = [(at, z) for at, z in zip(planned.taken, planned.z, strict=True) if z is not None]
        ax.plot([0, *(at for at, _ in seen)], [0, *(z for _, z in seen)], "s-", color=COLOURS[0], label="z")
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set_title(_plain(f"{one.metric}, {one.arm}"), loc="left")
        ax.set_xlabel("days" if found.settings.time else "units")
        ax.set_ylabel("z")
    _legend_below(figure)
    return figure


def _legend_below(figure: Figure) -> None:
    """Put the legend that all panels share below them, where it hides no data."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def posteriors(found: ABTest) -> Figure | None:
    """Draw both arms' posterior densities of metrics of 0 and 1."""
    own = [one for one in found.compared if one.posterior][:_MOST_PANELS]
    if not own:
        return None
    figure = Figure(figsize=(WIDTH, 0.5 + 2.4 * len(own)))
    for ax, one in zip(np.atleast_1d(figure.subplots(len(own), 1)), own, strict=True):
        p = one.posterior
        assert p is not None
        widths = [p.interval[1] - p.interval[0], p.interval_control[1] - p.interval_control[0]]
        low = max(min(p.interval[0], p.interval_control[0]) - max(widths), 1e-9)
        high = min(max(p.interval[1], p.interval_control[1]) + max(widths), 1 - 1e-9)
        x = np.linspace(low, high, 400)
        for name, (a, b), colour in ((found.control, p.shapes[2:], COLOURS[1]), (one.arm, p.shapes[:2], COLOURS[0])):
            y = density(x, a, b)
            ax.plot(x, y, color=colour, label=_plain(name))
            ax.fill_between(x, y, color=colour, alpha=0.15, linewidth=0)
        ax.set_yticks([])
        ax.set_xlabel(f"{_plain(one.metric)}; P({_plain(one.arm)} is better) = {p.probability:.3f}")
        ax.legend(loc="upper right")
    return figure


def days(found: ABTest) -> Figure | None:
    """Draw the effect of each day, and up to each."""
    own = [one for one in found.compared if one.days and len(one.days.running) > 1][:_MOST_PANELS]
    if not own:
        return None
    figure = Figure(figsize=(WIDTH, 0.5 + 2.9 * len(own)))
    for ax, one in zip(np.atleast_1d(figure.subplots(len(own), 1)), own, strict=True):
        assert one.days is not None
        ax.axhline(0, color="black", linewidth=0.8)
        for rows, colour, marker, name in ((one.days.daily, GREY, "o", "of the day alone"),
                                           (one.days.running, COLOURS[0], "s", "up to the day")):  # fmt: skip
            x, y = [day.day for day in rows], [day.effect for day in rows]
            ends = np.array([day.ends(found.settings.level) for day in rows]).reshape(-1, 2)
            ax.fill_between(x, ends[:, 0], ends[:, 1], color=colour, alpha=0.15, linewidth=0)
            ax.plot(x, y, f"{marker}-", color=colour, markersize=4, label=name)
        labels = one.days.running
        step = max(1, math.ceil(len(labels) / 8))  # as many dates as fit
        ax.set_xticks([day.day for day in labels[::step]], [_plain(day.label) for day in labels[::step]])
        ax.set_title(_plain(f"{one.metric}, {one.arm}"), loc="left")
        ax.set_ylabel("effect")
    _legend_below(figure)
    return figure


def by_segment(found: ABTest) -> Figure | None:
    """Draw the effect in each segment, and in all units."""
    own = [one for one in found.compared if one.segments][:_MOST_PANELS]
    if not own:
        return None
    heights = [1.0 + 0.26 * min(len(one.segments), _MOST_ROWS) for one in own]
    figure = Figure(figsize=(WIDTH, 0.4 + sum(heights)))
    panels = np.atleast_1d(figure.subplots(len(own), 1, height_ratios=heights))
    for ax, one in zip(panels, own, strict=True):
        parts = one.segments[:_MOST_ROWS]
        ax.axvspan(*one.ends, color=LIGHT, alpha=0.6, linewidth=0, label="all units")
        ax.axvline(0, color="black", linewidth=0.8)
        for y, part in enumerate(parts):
            ax.plot([part.low, part.high], [y, y], color=COLOURS[0], linewidth=1.6)
            ax.plot(part.effect, y, "o", color=COLOURS[0], markersize=5)
        ax.set_yticks(range(len(parts)), [_plain(f"{s.column} = {s.value} ({s.n:,})") for s in parts])
        ax.set_ylim(len(parts) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"effect on {_plain(one.metric)}, {_plain(one.arm)}; intervals are not corrected")
    _legend_below(figure)
    return figure


def _relative(one: Compared) -> str:
    relative = one.effect.relative
    if relative is None:
        return ""
    return f"{relative.value:+.1%}" + ("" if one.looks else f" [{relative.low:+.1%}, {relative.high:+.1%}]")


def _plain(text: str) -> str:
    """Return `text` as Matplotlib shows it: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


FIGURES: dict[str, tuple[str, Callable[[ABTest], Figure | None]]] = {
    "effects": ("What did the treatment change?", effects),
    "looks": ("Has a bound been crossed?", looks),
    "posteriors": ("Which rates are credible?", posteriors),
    "days": ("Does the effect last?", days),
    "segments": ("Is the effect the same for everyone?", by_segment),
}
