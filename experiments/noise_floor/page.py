"""README.md and its figures, from results.csv, diagnosis.json and diagnosis.csv: the same files give the same bytes."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.noise_floor import runs
from experiments.noise_floor.analysis import Floor, floors
from experiments.noise_floor.diagnosis import FIRST, GROWTH, VARIANTS
from ncf.core.files import write_text
from ncf.errors import DataError
from ncf.report.kit.markup import Table
from ncf.report.kit.style import COLOURS, GREY, MARKERS, RC, WIDTH, percent_ticks, save, titled
from ncf.stats.intervals import Interval
from ncf.study.verdict import Verdict, verdict

NAMES = {"test/ndcg@10": "NDCG@10", "test/hit@10": "HR@10"}
SEEDS = (1, 5, 10, 20, 30)


def write(folder: Path = runs.HERE, first: Path = FIRST, path: Path = GROWTH) -> None:
    """Write the page and its figures into `folder`.

    Raises:
        StatisticsError: a registered pair is not complete: nothing is compared before.
        DataError: the diagnosis is not complete.
    """
    results = runs.table()
    found, judged = floors(results), verdict(runs.registration(), results)
    grown = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["variant"])
    if missing := set(VARIANTS) - set(grown["variant"]):
        raise DataError(f"{path}: lacks {', '.join(sorted(missing))}; run `python -m experiments.noise_floor diagnose`")
    diagnosis = json.loads(first.read_text())
    (folder / "figures").mkdir(exist_ok=True)
    with matplotlib.rc_context(RC):
        save(scatter(found), folder / "figures", "pairs")
        save(growth(grown), folder / "figures", "growth")
    write_text(folder / "README.md", text(results, found, judged, diagnosis, grown))


def text(
    results: pd.DataFrame, found: list[Floor], judged: list[Verdict], diagnosis: dict[str, Any], grown: pd.DataFrame
) -> str:
    """The page, as Markdown."""
    page = (runs.HERE / "page.md").read_text()
    parts = {
        "answer": answer(found, judged),
        "floor": floor_table(found).markdown(),
        "verdict": verdict_table(judged).markdown(),
        "studies": studies(found).markdown(),
        "diagnosis": undone(diagnosis, grown),
        "first": first_differences(diagnosis).markdown(),
        "seed": str(diagnosis["seed"]),
        "commits": ", ".join(f"{n} runs from {str(c)[:12]}" for c, n in results["commit"].value_counts().items()),
    }
    for name, part in parts.items():
        page = page.replace(f"<!-- {name} -->", part)
    return page


def answer(found: list[Floor], judged: list[Verdict]) -> str:
    """What the study says, in three sentences."""
    apart = " and ".join(f"{each.rms.estimate:.1%} in {NAMES[each.metric]}" for each in found)
    margin = f" (within ±{runs.registration().smallest_effect:.0%})"
    findings = [
        f"{c.finding}{margin * (c.finding == 'equivalent')} in {NAMES[c.compared.metric]}"
        for c in judged[0].comparisons
    ]
    saved = "; ".join(f"{_percent(each.saved)} in {NAMES[each.metric]}" for each in found)
    worth = {each.metric: each.saved.low > 0 for each in found}
    said = {True: "It is worth having", False: "That it saves any is not shown"}.get(
        next(iter(worth.values())), ""
    ) if len(set(worth.values())) == 1 else "It is shown to save some in " + ", ".join(
        NAMES[metric] for metric, shown in worth.items() if shown
    )  # fmt: skip
    return (
        f"**Two runs that should be one differ by {apart}** (root mean square over {len(found[0].values)} seeds). Over "
        f"all seeds half of BCE is {' and '.join(findings)}. **Pairing by seed saves** {saved} **of the variance of a "
        f"difference.** {said}; it costs nothing, but no pair is the same run twice."
    )


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.0%} [{interval.low:.0%}, {interval.high:.0%}]"


def floor_table(found: list[Floor]) -> Table:
    """The floor in each metric."""
    rows = []
    for each in found:
        rms, r = each.rms, each.correlation
        rows.append([
            NAMES[each.metric], f"{rms.estimate:.1%} [{rms.low:.1%}, {rms.high:.1%}]",
            f"{r.estimate:.2f} [{r.low:.2f}, {r.high:.2f}]", _percent(each.saved),
        ])  # fmt: skip
    header = ["metric", "relative difference of a pair, RMS", "correlation of a pair", "variance that pairing saves"]
    return Table("The noise floor", header, rows, f"In brackets {found[0].rms.level:.0%} intervals over seeds.")


def verdict_table(judged: list[Verdict]) -> Table:
    """The registered comparisons: a false alarm is one that is better or worse."""
    rows = []
    for each in judged[0].comparisons:
        assert each.result is not None
        change = each.result.effects["relative_change"]
        ends = f" [{change.low:+.1%}, {change.high:+.1%}]" if change.ends else ""
        rows.append([
            NAMES[each.compared.metric], f"{each.result.baseline_mean:.4f}", f"{each.result.treatment_mean:.4f}",
            f"{change.estimate:+.1%}{ends}", f"{each.p:.3f}", f"{each.p_equivalent:.4f}", each.finding,
        ])  # fmt: skip
    header = ["metric", "BCE", "half of BCE", "change", "p", "p of equivalence", "finding"]
    registered = runs.registration()
    note = (
        f"Intervals: {judged[0].intervals}. p by Wilcoxon, p of equivalence (of a change within "
        f"±{registered.smallest_effect:.0%}, by two one-sided tests at {registered.alpha:g}) both corrected by Holm. "
        f"Two one-sided tests ask of an interval of {1 - 2 * registered.alpha:.0%} that it lies within: one of "
        f"{registered.interval_level:.0%} may reach beyond, and leave out 0."
    )
    return Table("Half of BCE against BCE", header, rows, note)


def studies(found: list[Floor]) -> Table:
    """How large a mean difference noise alone makes."""
    rows = [[str(n), *(f"±{each.within(n):.1%}" for each in found)] for n in SEEDS]
    note = "1.96 RMS / sqrt(seeds): the mean change of identical losses lies within in 95% of studies of so many pairs."
    return Table("What noise alone makes", ["seeds", *(NAMES[each.metric] for each in found)], rows, note)


def undone(diagnosis: dict[str, Any], grown: pd.DataFrame) -> str:
    """What undoes the pairing, and how fast."""
    trained, halved = (diagnosis["first"][variant] for variant in VARIANTS[:2])
    weights = grown.groupby("variant")["weights"]
    first, last, most = weights.first(), weights.last(), weights.max()
    epochs = int(grown["epoch"].max())
    cause = "Adam's epsilon, not rounding" if most[VARIANTS[1]] == 0 else "Not Adam's epsilon alone"
    said = (
        f"**{cause}.** The first to differ are the weights after step {trained['step']} "
        f"({trained['tensor']}: {trained['elements']} of {trained['of']} elements). Gradients are halves to the bit, "
        "but the update divides by their size plus an epsilon of 1e-8, which was not halved, and many gradients of "
        f"embeddings are not much larger. The weights are then {first[VARIANTS[0]]:.1e} of their size apart, and "
        f"{last[VARIANTS[0]]:.0%} after {epochs} epochs. "
    )
    moved = (
        f"A single weight moved by one unit in the last place comes to {last[VARIANTS[2]]:.0%}: however small its "
        "cause, training amplifies a difference."
    )
    if most[VARIANTS[1]] == 0:
        said += f"With epsilon halved as well, the weights stay equal to the bit for all {epochs} epochs"
        if halved is not None:
            said += (
                f", although {halved['elements']} element of a {halved['operation']} ({halved['tensor']}) gets too "
                f"small for float32 at step {halved['step']} once it is halved"
            )
        return f"{said}. {moved}"
    return f"{said}With epsilon halved as well, they are {last[VARIANTS[1]]:.0%} apart. {moved}"


def first_differences(diagnosis: dict[str, Any]) -> Table:
    """Where each variant's pair first differs."""
    rows = []
    for variant in VARIANTS:
        found = diagnosis["first"][variant]
        cells = ["none in an epoch", "", "", ""] if found is None else [
            f"step {found['step']}: {found['operation']}", found["tensor"], f"{found['elements']} of {found['of']}",
            f"{found['relative']:.1g}",
        ]  # fmt: skip
        rows.append([variant, *cells])
    return Table(
        "The first difference", ["pair", "where", "tensor", "elements", "largest, relative"], rows,
        "An element that is 0 in one run and not in the other differs by 1 relative to itself.",
    )  # fmt: skip


def scatter(found: list[Floor]) -> Figure:
    """Both runs of each pair."""
    figure = Figure(figsize=(WIDTH, 4.2))
    for ax, each in zip(figure.subplots(1, len(found)), found, strict=True):
        low, high = float(each.values.min()), float(each.values.max())
        ax.plot([low, high], [low, high], color=GREY, linewidth=1)
        ax.scatter(each.values[:, 0], each.values[:, 1], color=COLOURS[0], s=22)
        ax.set_xlabel(f"{NAMES[each.metric]} of BCE")
        ax.set_ylabel("of half of BCE, same seed")
        ax.set_title(f"correlation {each.correlation.estimate:.2f}")
    return titled(figure, "Do the two runs of a seed end alike?")


def growth(grown: pd.DataFrame) -> Figure:
    """How far the weights and the validation metric drift apart."""
    figure = Figure(figsize=(WIDTH, 4.2))
    left, right = figure.subplots(1, 2)
    for variant, colour, marker in zip(VARIANTS[:3], COLOURS, MARKERS):
        own = grown[grown["variant"] == variant]
        shown = own[own["weights"] > 0]
        left.plot(shown["step"], shown["weights"], color=colour, marker=marker, markersize=3,
                  label=variant if len(shown) else f"{variant}: 0 throughout")  # fmt: skip
        epochs = own.dropna(subset=["ndcg"])
        apart = (epochs["ndcg_other"] / epochs["ndcg"] - 1).abs()
        right.plot(epochs["epoch"], apart, color=colour, marker=marker, markersize=3, label=variant)
    left.set(xscale="log", yscale="log", xlabel="step", title="weights: RMS difference relative to their RMS")
    right.set(xlabel="epoch", title="validation NDCG@10: relative difference")
    percent_ticks(right)
    right.set_xticks(np.arange(0, grown["epoch"].max() + 1, 5))
    left.legend()
    return titled(figure, "How does the difference grow?")
