"""Figures that causal analyses share, each from a table of plain numbers, as an analysis or a committed file has it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ncf.causal.bacon import KINDS
from ncf.causal.balance import LIMIT
from ncf.report.kit.style import COLOURS, GREY, MARKERS, WIDTH


def overlap(bins: pd.DataFrame, kept: tuple[float, float] | None = None) -> Figure:
    """Draw the scores of both arms, treated upwards, untreated downwards, as shares of their arm.

    Args:
        bins: as `ncf.causal.propensity.overlap` returns them: low, high, treated, untreated.
        kept: lowest and highest score of the units that were not trimmed; None if all were kept.
    """
    figure = Figure(figsize=(WIDTH, 3.4))
    ax = figure.subplots()
    width = bins["high"] - bins["low"]
    for arm, sign, colour in (("treated", 1, COLOURS[0]), ("untreated", -1, COLOURS[1])):
        share = sign * np.sqrt(bins[arm] / bins[arm].sum())  # so that rare scores show beside frequent ones
        ax.bar(bins["low"], share, width, align="edge", color=colour, edgecolor="white", linewidth=0.4, label=arm)
    ax.axhline(0, color="black", linewidth=0.8)
    if kept is not None:
        ax.axvspan(*kept, color=GREY, alpha=0.12, linewidth=0, zorder=0, label="kept")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value * value:.0%}")
    ax.set_xlim(0, 1)
    ax.set_xlabel("propensity score")
    ax.set_ylabel("share of the arm (square-root scale)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def love(before: pd.Series, after: Mapping[str, pd.Series]) -> Figure:
    """Draw |standardised mean difference| of each confounder, before and after.

    Args:
        before: confounder -> its difference, in the order from top to bottom.
        after: estimator -> the same of its own sample.
    """
    figure = Figure(figsize=(WIDTH, 1.5 + 0.27 * len(before)))
    ax = figure.subplots()
    places = np.arange(len(before))
    ax.plot(before.abs(), places, "o", color="black", markerfacecolor="white", markersize=6.5, label="before")
    for n, (name, own) in enumerate(after.items()):
        ax.plot(own[before.index].abs(), places, MARKERS[(n + 1) % len(MARKERS)], color=COLOURS[n % len(COLOURS)],
                markersize=5.5, alpha=0.85, label=f"after, {name}")  # fmt: skip
    ax.axvline(LIMIT, color="black", linestyle="--", linewidth=1.0, label=f"{LIMIT:g}")
    ax.set_xlim(left=0)
    ax.set_ylim(len(before) - 0.5, -0.5)
    ax.set_yticks(places, [plain(str(name)) for name in before.index])
    ax.set_xlabel("|standardised mean difference|")
    figure.legend(loc="outside lower center", ncols=min(4, len(after) + 2))
    return figure


def events(studies: Mapping[str, pd.DataFrame], references: Mapping[str, float] | None = None) -> Figure:
    """Draw effects by time since treatment: intervals thick, simultaneous bands thin.

    Args:
        studies: estimator -> time, value, low, high, band_low, band_high.
        references: estimator -> the time whose effect is 0 by construction.
    """
    figure = Figure(figsize=(WIDTH, 3.8))
    ax = figure.subplots()
    ax.axhline(0, color="black", linewidth=0.9)
    ax.axvline(-0.5, color=GREY, linestyle="--", linewidth=1.0, label="treatment begins")
    shift: Sequence[float] = list(np.linspace(-0.12, 0.12, len(studies))) if len(studies) > 1 else [0.0]
    for n, ((name, study), by) in enumerate(zip(studies.items(), shift, strict=True)):
        x, look = study["time"] + by, dict[str, Any](color=COLOURS[n])
        ax.vlines(x, study["band_low"], study["band_high"], linewidth=0.9, **look)
        ax.vlines(x, study["low"], study["high"], linewidth=2.6, alpha=0.7, **look)
        ax.plot(x, study["value"], MARKERS[n], markersize=5, label=name, **look)
        if name in (references or {}):
            ax.plot((references or {})[name] + by, 0, MARKERS[n], markerfacecolor="white", markersize=5, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("periods since treatment began")
    ax.set_ylabel("effect")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def comparisons(pairs: pd.DataFrame) -> Figure:
    """Draw each two-by-two comparison behind two-way fixed effects: its weight and its estimate.

    Args:
        pairs: kind (an index of `ncf.causal.bacon.KINDS`), weight, estimate.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    ax = figure.subplots()
    for n, kind in enumerate(KINDS):
        own = pairs[pairs["kind"] == n]
        if len(own):
            ax.plot(own["weight"], own["estimate"], MARKERS[n], color=COLOURS[n], markersize=5.5, label=kind,
                    linestyle="none")  # fmt: skip
    value = float(pairs["weight"] @ pairs["estimate"])
    ax.axhline(value, color="black", linewidth=1.0, label=f"two-way fixed effects, {value:.4g}")
    ax.set_xlim(left=0)
    ax.set_xlabel("weight")
    ax.set_ylabel("difference of differences")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def plain(text: str) -> str:
    """Return `text` without what Matplotlib would read as mathematics."""
    return text.replace("$", r"\$")
