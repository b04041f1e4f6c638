"""README.md and its figures, from the tables beside it: the same files give the same bytes."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from experiments.content.analysis import ALIKE, Comparison, Cost, changes_of, comparisons, costs, ndcg_change
from experiments.content.arms import HERE, arms, blocks, registered
from experiments.content.variety import PLAIN
from ncf.core.files import write_text
from ncf.report.kit.markup import Table
from ncf.report.kit.style import COLOURS, GREY, LIGHT, MARKERS, RC, WIDTH, percent_ticks, save, titled

TITLES = {
    "popularity": "popularity",
    "ease": "EASE",
    "ease_recency": "EASE, recency",
    "item_knn": "item-kNN",
    "item_knn_recency": "item-kNN, recency",
    "content": "content",
    "content_recency": "content, recency",
    "cease": "EASE with content (CEASE)",
    "hybrid": "hybrid of EASE and content",
    "hybrid_recency": "hybrid of both, recency",
    "mf": "MF",
    "mf_features": "MF with content",
    "content_cold": "content, cold items",
    "content_knn_cold": "content kNN, cold items",
    "cease_cold": "CEASE, cold items",
    "chance": "chance",
}
RERANKERS = {"mmr": "MMR", "dpp": "DPP", "xquad": "xQuAD", "calibrated": "calibrated"}
QUESTIONS = {"recency": "Does recency help?", "content": "Does content help?", "cold": "Does it rank cold items?"}
FOUND = ("better", "worse", "equivalent", "undecided")
_COSTS = (
    "Changes from the plain lists. lambda: the weight of relevance. Lambdas are steps, and most lists are less alike "
    "than the target asks; what the target itself costs lies between two of them in the last table."
)
COLOUR = dict(zip(FOUND, (COLOURS[2], COLOURS[4], COLOURS[0], GREY), strict=True))


def write(folder: Path = HERE) -> None:
    """Write the page and its figures into `folder`.

    Raises:
        StatisticsError: a registered block is missing: nothing is compared before.
    """
    results, users, variety = (pd.read_csv(folder / name) for name in ("results.csv", "users.csv.gz", "variety.csv.gz"))
    compared, cost = comparisons(users, results), costs(variety)
    (folder / "figures").mkdir(exist_ok=True)
    with matplotlib.rc_context(RC):
        save(forest(compared, cost), folder / "figures", "changes")
        save(trade_off(variety), folder / "figures", "variety")
    write_text(folder / "README.md", text(results, variety, compared, cost))


def text(results: pd.DataFrame, variety: pd.DataFrame, compared: list[Comparison], cost: list[Cost]) -> str:
    """The page, as Markdown."""
    plan, page = registered(), (HERE / "page.md").read_text()
    parts = {
        "answer": answer(compared, cost),
        "margin": f"{plan['smallest_effect']:.0%}",
        "blocks": str(len(blocks("leave_one_out"))),
        "draws": str(len(blocks("cold_items"))),
        "comparisons": comparison_table(compared).markdown(),
        "validation": validation_table(compared).markdown(),
        "arms": arm_table(results).markdown(),
        "target": f"{plan['variety']['target']:.0%}",
        "costs": cost_table(variety, cost).markdown(),
        "lambdas": lambda_table(variety).markdown(),
        "commits": _commits(results),
        "variety commits": _commits(variety.drop_duplicates("block")),
    }
    for name, part in parts.items():
        page = page.replace(f"<!-- {name} -->", part)
    return page


def answer(compared: list[Comparison], cost: list[Cost]) -> str:
    """What was found to each question, by finding."""
    lines = []
    for question, asked in QUESTIONS.items():
        own = [each for each in compared if each.question == question]
        said = [
            f"*{finding}*: {', '.join(f'{_pair(c)} {c.change}' for c in own if c.finding == finding)}"
            for finding in FOUND
            if any(c.finding == finding for c in own)
        ]
        lines.append(f"- **{asked}** {'; '.join(said)}.")
    target = registered()["variety"]["target"]
    said = [
        f"{RERANKERS[c.rerank]} (by {-c.alike:.0%}) {c.change}, *{c.finding}*" for c in cost if c.change is not None
    ]
    said += [f"{RERANKERS[c.rerank]} does not get there" for c in cost if c.change is None]
    return "\n".join(
        [*lines, f"- **What does variety cost?** Lists at least {target:.0%} less alike in genre: {'; '.join(said)}."]
    )


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _pair(each: Comparison) -> str:
    return f"{TITLES[each.treatment]} over {TITLES[each.baseline]}"


def comparison_table(compared: list[Comparison]) -> Table:
    """Every registered comparison."""
    rows = [
        [
            _pair(c), f"{c.means[0]:.4f}", f"{c.means[1]:.4f}", str(c.change), _p(c.change.p),
            _p(c.change.p_equivalent), c.finding, c.error, str(c.other), str(c.hits),
        ]
        for c in compared
    ]  # fmt: skip
    header = [
        "comparison", "NDCG@10, without", "with", "change", "p (Holm)", "p of equivalence (Holm)", "finding", "error",
        "change, the other error", "change of HR@10",
    ]  # fmt: skip
    note = (
        "Error: of users, or of both blocks and users. The other error, and HR@10, decide nothing; the error of both "
        "is over the users that all blocks have, so that its change differs a little."
    )
    return Table("Registered comparisons", header, rows, note)


def validation_table(compared: list[Comparison]) -> Table:
    """The changes on validation beside those on test."""
    rows = [[_pair(c), f"{c.valid:+.1%}", f"{c.change.value:+.1%}"] for c in compared if c.valid is not None]
    note = "NDCG@10, means over blocks on validation, over users and blocks on test."
    return Table("Change on validation and on test", ["comparison", "validation", "test"], rows, note)


def arm_table(results: pd.DataFrame) -> Table:
    """Means over blocks, and what was chosen."""
    chosen = results[results["chosen"].astype(bool)]
    chosen = chosen.assign(setting=chosen["setting"].astype(object).fillna(""))
    rows = []
    for arm in arms().values():
        own = chosen[chosen["arm"] == arm.name]
        taken = ", ".join(f"{setting or 'nothing'} ({n})" for setting, n in _counts(own["setting"]))
        metrics = [f"{own[f'test/{name}'].mean():.4f}" for name in ("ndcg@10", "hit@10")]
        rows.append([TITLES[arm.name], *metrics, taken.replace("model.", "").replace("optimizer.", "")])
    header = ["arm", "NDCG@10", "HR@10", "chosen on validation (in how many blocks)"]
    return Table("Every arm", header, rows, "Test, means over blocks. Cold items are ranked among the cold ones.")


def _counts(values: pd.Series) -> Iterable[tuple[str, int]]:
    counts = values.value_counts()
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))


def cost_table(variety: pd.DataFrame, cost: list[Cost]) -> Table:
    """What each re-ranker costs at the target."""
    coverage = changes_of(variety, "coverage")
    rows = []
    for c in cost:
        if c.change is None or c.weight is None:
            rows.append([RERANKERS[c.rerank], "none", f"{c.alike:+.1%} at most", "", "", "", "", c.finding])
            continue
        tests = [_p(c.change.p), _p(c.change.p_equivalent), c.finding]
        covered = f"{coverage[c.rerank][c.weight]:+.1%}"
        rows.append([RERANKERS[c.rerank], f"{c.weight:g}", f"{c.alike:+.1%}", covered, str(c.change), *tests])
    header = [
        "re-ranker", "lambda", "similarity by genre", "items in any list", "NDCG@10", "p (Holm)",
        "p of equivalence (Holm)", "finding",
    ]  # fmt: skip
    return Table("What variety costs", header, rows, _COSTS)


def lambda_table(variety: pd.DataFrame) -> Table:
    """Every re-ranker at every lambda."""
    columns = (ALIKE, "coverage", "miscalibration")
    changes = {column: changes_of(variety, column) for column in columns}
    rows = [
        [RERANKERS[name], f"{at:g}", str(ndcg_change(variety, name, at)), *_changes(changes, name, at)]
        for name in RERANKERS
        for at in sorted(registered()["variety"]["lambdas"], reverse=True)
    ]
    header = ["re-ranker", "lambda", "NDCG@10", "similarity by genre", "items in any list", "miscalibration"]
    plain = variety[variety["rerank"] == PLAIN]
    note = (
        f"Changes from the plain lists, whose pairs of items are {plain[ALIKE].mean():.3f} alike in genre, which have "
        f"{plain['coverage'].mean():.1%} of all items, and whose miscalibration (KL from the user's mixture of genres) "
        f"is {plain['miscalibration'].mean():.2f}. Means over blocks; intervals are not corrected."
    )
    return Table("Every lambda", header, rows, note)


def _changes(changes: dict[str, dict[str, pd.Series]], name: str, at: float) -> list[str]:
    return [f"{of[name][at]:+.1%}" for of in changes.values()]


def _commits(table: pd.DataFrame) -> str:
    return ", ".join(f"{n} from {str(c)[:12]}" for c, n in sorted(table["commit"].value_counts().items()))


def forest(compared: list[Comparison], cost: list[Cost]) -> Figure:
    """Every change with its interval; those against chance on a scale of their own."""
    groups = [[c for c in compared if c.question != "cold"], [c for c in compared if c.question == "cold"]]
    lines = [[(_pair(c), c.change, c.finding) for c in group] for group in groups]
    lines[0] += [(f"{RERANKERS[c.rerank]} over plain lists", c.change, c.finding) for c in cost if c.change is not None]
    far = [line for line in lines[0] if line[1].value < -0.5 or line[1].value > 0.5]
    near = [line for line in lines[0] if line not in far]
    panels = [near, [*far, *lines[1]]]
    figure = Figure(figsize=(WIDTH, 0.8 + 0.3 * sum(map(len, panels)) + 1.0))
    for ax, panel in zip(figure.subplots(2, 1, height_ratios=[len(near) + 1, len(panels[1]) + 1]), panels, strict=True):
        margin = registered()["smallest_effect"]
        ax.axvspan(-margin, margin, color=LIGHT, linewidth=0)
        ax.axvline(0, color=GREY, linewidth=1)
        for place, (_, change, finding) in enumerate(panel):
            ax.plot(change.ends, [place, place], color=COLOUR[finding], linewidth=2)
            ax.plot(change.value, place, color=COLOUR[finding], marker=MARKERS[FOUND.index(finding)], markersize=6)
        ax.set_yticks(range(len(panel)), [f"{name}: {finding}" for name, _, finding in panel])
        ax.set_ylim(len(panel) - 0.5, -0.5)
        percent_ticks(ax, "x")
    figure.axes[-1].set_xlabel("relative change of test NDCG@10, 95% intervals; grey: the region of equivalence")
    return titled(figure, "What helps, and what does variety cost?")


def trade_off(variety: pd.DataFrame) -> Figure:
    """NDCG@10 against similarity within lists, and against coverage, over lambda."""
    plan = registered()
    target, margin = plan["variety"]["target"], plan["smallest_effect"]
    figure = Figure(figsize=(WIDTH, 4.4))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, column, name in zip(axes, (ALIKE, "coverage"), ("similarity by genre within a list", "items in any list")):
        changes = changes_of(variety, column)
        ax.axhspan(-margin, margin, color=LIGHT, linewidth=0)
        ax.plot(0, 0, color="black", marker="*", markersize=11, linestyle="none", label="plain lists", zorder=3)
        for rerank, colour, marker in zip(RERANKERS, COLOURS, MARKERS):
            own = changes[rerank].sort_index(ascending=False)
            cost = [ndcg_change(variety, rerank, float(at)).value for at in own.index]
            ax.plot(own, cost, color=colour, marker=marker, markersize=4, label=RERANKERS[rerank])
        percent_ticks(ax), percent_ticks(ax, "x")
        ax.set_xlabel(f"change of {name}")
    axes[0].axvline(-target, color=GREY, linestyle="--", linewidth=1)
    axes[0].set_ylabel("change of test NDCG@10")
    axes[0].legend(loc="lower left")
    return titled(figure, "What does variety cost? A point is a lambda; dashed: the registered target")
