"""The figures of the page, each from a committed table."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from experiments.which_method.tables import PAIRS, grid, main_cells, right
from ncf.report import causal_figures
from ncf.report.kit.style import COLOURS, GREY, MARKERS, RC, WIDTH, percent_ticks, save, titled

RULES = {
    "once": "once, on the last day", "daily": "every day, as if once", "obrien_fleming": "every day, O'Brien-Fleming",
    "pocock": "every day, Pocock", "msprt": "every day, always-valid (mSPRT)",
}  # fmt: skip
POWERS = ["A/B", "A/B, CUPED", "clusters, robust", "interleaving", "logs, SNIPS", "rollout, group-time"]


def draw(tables: dict[str, pd.DataFrame], folder: Path) -> list[str]:
    """Draw every figure whose table has rows into `folder`; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[str, str, str, Callable[[pd.DataFrame], Figure | None]]] = [
        ("estimates", "How far from the truth is each method?", "results", estimates),
        ("power", "How many sessions until a method sees the effect?", "results", power),
        ("peeking", "A against A: how often does a look find a difference?", "peeking", peeking),
        ("warnings", "As hidden confounding grows: do the tools warn in time?", "results", warnings),
        ("agreement", "Does a gain in NDCG@10 foretell a gain in clicks?", "agreement", agreement),
        ("love", "Opt-in: were the arms alike, before and after weighting?", "balance", love),
        ("overlap", "Opt-in: is there somebody to compare with?", "overlap", causal_figures.overlap),
        ("events", "Rollout: effects by days since the change", "events", events),
        ("comparisons", "Rollout: what two-way fixed effects compare", "comparisons", causal_figures.comparisons),
        ("costs", "How does the cost grow with users?", "costs", costs),
    ]
    names = []
    with matplotlib.rc_context(RC):
        for name, title, table, make in made:
            if len(tables[table]) and (figure := make(tables[table])) is not None:
                save(titled(figure, title), folder, name, ("png",))
                names.append(name)
    return names


def estimates(results: pd.DataFrame) -> Figure:
    """Draw mean less truth of each method in clicks a session, with the spread of single replications."""
    own = main_cells(results)
    own = own[own["bias"].notna() & (own["estimand"] == "clicks a session")]
    pairs = [pair for pair in PAIRS if pair in set(own["pair"])]
    methods = list(dict.fromkeys(own["method"]))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.24 * len(methods)))
    axes = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for ax, pair in zip(axes, pairs, strict=True):
        rows = own[own["pair"] == pair].set_index("method").reindex(methods)
        places = np.arange(len(methods))
        fit = right(rows)
        colours = [COLOURS[0] if one else COLOURS[4] for one in fit]
        ax.hlines(
            places, rows["bias"] - 1.96 * rows["sd"], rows["bias"] + 1.96 * rows["sd"], colors=colours, linewidth=1.4
        )
        for kind, colour, marker in ((True, COLOURS[0], "o"), (False, COLOURS[4], "D")):
            at = np.flatnonzero(fit == kind)
            ax.plot(rows["bias"].to_numpy()[at], at, marker, color=colour, markersize=4.5)
        ax.axvline(0, color="black", linewidth=0.9)
        ax.set_title(f"{PAIRS[pair]}\ntruth {rows['effect'].iloc[0]:+.4f}")
        ax.set_ylim(len(methods) - 0.5, -0.5)
        ax.set_yticks(places, methods)
        ax.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(
        "estimate less its truth, clicks a session: mean, and where 95% of replications are\n"
        "circle, blue: bias and coverage within 3 Monte Carlo errors of 0 and .95; diamond, red: not", fontsize=9,
    )  # fmt: skip
    return figure


def power(results: pd.DataFrame) -> Figure | None:
    """Draw the share of replications that name the right winner against sessions, a panel a pair."""
    whole = results[results["design"] == "ab"][["pair", "users", "confounding"]]
    own = results.merge(whole.drop_duplicates(), on=["pair", "users", "confounding"])
    pairs = [pair for pair in PAIRS if pair != "same" and pair in set(own["pair"])]
    if not pairs:
        return None
    figure = Figure(figsize=(WIDTH, 3.6))
    for ax, pair in zip(figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0], pairs, strict=True):
        for n, method in enumerate(POWERS):
            rows = own[(own["pair"] == pair) & (own["method"] == method)].sort_values("sessions")
            ax.plot(rows["sessions"], rows["right_winner"], f"{MARKERS[n]}-", color=COLOURS[n], markersize=5,
                    linewidth=1.2, label=method if pair == pairs[0] else None)  # fmt: skip
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(-0.03, 1.03)
        percent_ticks(ax)
        effect = own.loc[own["pair"] == pair, "effect"].iloc[0]
        ax.set_title(f"{PAIRS[pair]}, truth {effect:+.4f}")
        ax.set_xlabel("sessions")
    figure.axes[0].set_ylabel("names the right winner")
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def peeking(table: pd.DataFrame) -> Figure:
    """Draw the share of experiments stopped by each day."""
    figure = Figure(figsize=(WIDTH, 3.6))
    ax = figure.subplots()
    for n, (rule, name) in enumerate(RULES.items()):
        rows = table[table["rule"] == rule]
        ax.plot(
            rows["day"], rows["stopped"], f"{MARKERS[n]}-", color=COLOURS[n], markersize=4.5, linewidth=1.2, label=name
        )
    ax.axhline(0.05, color="black", linestyle="--", linewidth=1.0, label="5%")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("day")
    ax.set_ylabel("found a difference by then")
    percent_ticks(ax)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def warnings(results: pd.DataFrame) -> Figure | None:
    """Draw bias beside bound, E-values, and how often each warns where the answer is wrong; a column a pair."""
    own = grid(results)
    counts = own.groupby("pair").size()
    pairs = [pair for pair in PAIRS if counts.get(pair, 0) > 1]
    if not pairs:
        return None
    figure = Figure(figsize=(WIDTH, 2.6 + 3.0 * len(pairs)))
    for axes, pair in zip(figure.subplots(len(pairs), 3, squeeze=False), pairs, strict=True):
        _row(axes, own[own["pair"] == pair])
        axes[0].set_title(f"{PAIRS[pair]}: what happens", loc="left")
    for ax in figure.axes[-3:]:
        ax.set_xlabel("hidden confounding (log odds)")
    return figure


def _row(axes: list[Axes], rows: pd.DataFrame) -> None:
    x = rows["confounding"]
    first, second, third = axes
    first.fill_between(
        x, rows["bias"] - 1.96 * rows["sd"], rows["bias"] + 1.96 * rows["sd"], color=COLOURS[4], alpha=0.15
    )
    first.plot(x, rows["bias"], "D-", color=COLOURS[4], label="actual bias")
    first.plot(x, rows["mean_largest_bias"], "o-", color=COLOURS[0], label="largest by the bound")
    first.plot(x, rows["mean"].abs(), "k--", linewidth=1.0, label="|estimate|")
    first.set_ylabel("clicks a session")
    second.plot(x, rows["mean_evalue"], "s-", color=COLOURS[1], label="E-value of the estimate")
    second.plot(x, rows["real_evalue"], "k--", linewidth=1.0, label="of the real confounding")
    second.plot(
        x, rows["mean_evalue_limit"], "s:", color=COLOURS[1], markerfacecolor="white", label="of the interval's end"
    )
    second.set_title("E-values (risk ratios)", loc="left")
    third.plot(x, rows["misses"], "D-", color=COLOURS[4], label="interval misses the truth")
    third.plot(x, rows["bound_warns"], "o-", color=COLOURS[0], label="bound warns")
    third.plot(x, rows["evalue_warns"], "s-", color=COLOURS[1], label="E-value warns")
    third.set_title("share of replications", loc="left")
    third.set_ylim(-0.03, 1.03)
    percent_ticks(third)
    for ax in axes:
        ax.legend(fontsize=7.5, loc="best")


def agreement(table: pd.DataFrame) -> Figure:
    """Draw gain in clicks against gain in NDCG@10, a point a pair and world."""
    figure = Figure(figsize=(WIDTH, 3.8))
    ax = figure.subplots()
    for n, (world, rows) in enumerate(table.groupby("world", sort=False)):
        ax.errorbar(rows["ndcg"], rows["clicks"], xerr=1.96 * rows["ndcg_error"], fmt=MARKERS[n], color=COLOURS[n],
                    ecolor=GREY, elinewidth=0.6, markersize=5.5, label=f"relevance from {world}")  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("gain in NDCG@10 on held-out ratings, with its 95% interval")
    ax.set_ylabel("gain in clicks a session, exact")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def love(table: pd.DataFrame) -> Figure:
    """Draw |standardised mean difference| before and after."""
    own = table.set_index("confounder")
    return causal_figures.love(own["smd_before"], {"weighting": own["smd_after"]})


def events(table: pd.DataFrame) -> Figure:
    """Draw effects by days since a user first had B."""
    names = {"twfe": "two-way fixed effects", "group_time": "group-time"}
    return causal_figures.events({names[str(name)]: rows for name, rows in table.groupby("estimator", sort=False)})


def costs(table: pd.DataFrame) -> Figure:
    """Draw seconds of each design, and the peak of memory, by number of users."""
    figure = Figure(figsize=(WIDTH, 3.8))
    left, right_ax = figure.subplots(1, 2)
    for n, (name, rows) in enumerate(table.groupby("design", sort=False)):
        by_size = rows.groupby("users")["seconds"]
        x = by_size.median()
        look = {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
        left.plot(x.index, x, label=name, markersize=4, linestyle="-" if n < len(COLOURS) else "--", **look)
        left.vlines(x.index, by_size.min(), by_size.max(), color=look["color"], linewidth=0.8)
    peak = table.groupby("users")["gib"].max()
    right_ax.plot(peak.index, peak, color="black", marker="o")
    left.set(xscale="log", yscale="log", xlabel="users", ylabel="seconds of one replication, one core")
    right_ax.set(xscale="log", ylim=(0, None), xlabel="users", ylabel="peak of memory, GiB")
    figure.legend(loc="outside lower center", ncols=4)
    return figure
