"""README.md and its figure, from the rows beside it: the same rows give the same bytes."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.multitask.arms import ARMS, HERE, SEEDS, TRIALS
from ncf.core.files import write_text
from ncf.report.kit.markup import Table
from ncf.report.kit.style import COLOURS, RC, WIDTH, save, titled
from ncf.stats import StatisticsError
from ncf.stats.estimate import mean_estimate
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon

LEVEL = 0.95
PILOT = " A pilot: not all seeds have been run, and nothing is concluded yet."
PUBLISHED = {
    "shared_99": {"mrr_all": 0.0885, "mse": 0.828},
    "shared_50": {"mrr_all": 0.0574, "mse": 0.822},
    "separate_99": {"mrr_all": 0.0989, "mse": 0.828},
    "separate_50": {"mrr_all": 0.0989, "mse": 0.828},
}
"""What the prototype found with one seed; one value for both pairs of weights of separate factors."""

COLUMNS = {
    "prototype": {"mrr_all": "last/mrr_all", "mse": "best/mse"},
    "tuned": {"mrr_all": "test/mrr_all", "mse": "test/mse"},
}
NAMES = {"mrr_all": "MRR", "mse": "squared error"}
PAIRS = (("shared_99", "separate_99"), ("shared_50", "separate_50"), ("shared_99", "shared_50"),
         ("shared_tuned", "separate_tuned"))  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One arm minus another in a metric, over the seeds that both have; `p` corrected within its table."""

    first: str
    second: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    seeds: int

    @property
    def finding(self) -> str:
        """Better, worse or undecided: of MRR more is better, of squared error less."""
        if self.p > 1 - LEVEL:
            return "undecided"
        return "better" if (self.value > 0) == (self.metric == "mrr_all") else "worse"


def write(folder: Path = HERE) -> None:
    """Write the page and its figure into `folder`."""
    results = pd.read_csv(folder / "results.csv")
    compared = comparisons(results)
    seeds = int(results.groupby("arm")["seed"].nunique().reindex(list(ARMS), fill_value=0).min())
    template = (HERE / "page.md").read_text()
    parts = {
        "answer": answer(results, compared) + (PILOT if seeds < len(SEEDS) else ""),
        "seeds": f"{seeds} of {len(SEEDS)} seeds",
        "trials": str(TRIALS),
        "prototype": values(results, "prototype").markdown(),
        "tuned": values(results, "tuned").markdown(),
        "tests": tests(compared).markdown(),
        "baselines": baselines(pd.read_csv(folder / "baselines.csv")).markdown(),
        "commits": ", ".join(f"{n} runs from {str(c)[:12]}" for c, n in results["commit"].value_counts().items()),
    }
    for name, part in parts.items():
        template = template.replace(f"<!-- {name} -->", part)
    (folder / "figures").mkdir(exist_ok=True)
    with matplotlib.rc_context(RC):
        save(curves(pd.read_csv(folder / "epochs.csv")), folder / "figures", "curves")
    write_text(folder / "README.md", template)


def comparisons(results: pd.DataFrame) -> list[Comparison]:
    """Every pair of `PAIRS` in both metrics, corrected within each table."""
    found: list[Comparison] = []
    for table, columns in COLUMNS.items():
        pairs = [pair for pair in PAIRS if ARMS[pair[0]].table == table]
        raw = [_compared(results, *pair, metric, column) for pair in pairs for metric, column in columns.items()]
        made = [each for each in raw if each is not None]
        if made:
            corrected = holm(np.array([each.p for each in made]))
            found += [Comparison(**{**vars(each), "p": float(p)}) for each, p in zip(made, corrected, strict=True)]
    return found


def _compared(results: pd.DataFrame, first: str, second: str, metric: str, column: str) -> Comparison | None:
    """The comparison without correction; None with fewer than three seeds."""
    by_seed = results.pivot(index="seed", columns="arm", values=column)
    if not {first, second} <= set(by_seed):
        return None
    own = by_seed[[first, second]].dropna()
    if len(own) < 3:
        return None
    difference = (own[first] - own[second]).to_numpy()
    mean = mean_estimate(difference, estimand="difference", method="paired t", level=LEVEL)
    try:
        p = wilcoxon(own[first].to_numpy(), own[second].to_numpy()).p
    except StatisticsError:  # no two seeds differ
        p = 1.0
    return Comparison(first, second, metric, mean.value, mean.low, mean.high, float(p), len(own))


def answer(results: pd.DataFrame, compared: list[Comparison]) -> str:
    """Whether sharing helps, and whether one setting beats the prototype."""
    sharing = [
        each for each in compared if ARMS[each.first].title.split(",")[0] != ARMS[each.second].title.split(",")[0]
    ]
    parts = [f"{_pair(each)} {NAMES[each.metric]} {_change(each)}, {each.finding}" for each in sharing]
    best = {"mrr_all": max(v["mrr_all"] for v in PUBLISHED.values()), "mse": min(v["mse"] for v in PUBLISHED.values())}
    own = results[results["arm"] == "shared_tuned"]
    said = "; ".join(parts) if parts else "too few seeds to tell"
    if own.empty:
        return f"**Does sharing help?** {said}."
    found = {metric: float(own[column].mean()) for metric, column in COLUMNS["tuned"].items()}
    beats = found["mrr_all"] > best["mrr_all"] and found["mse"] < best["mse"]
    return (
        f"**Does sharing help?** Shared minus separate: {said}. **One tuned setting** has a test MRR of "
        f"{found['mrr_all']:.4f} and a squared error of {found['mse']:.3f}; the best of any row of the prototype are "
        f"{best['mrr_all']:.4f} and {best['mse']:.3f}, so it {'beats' if beats else 'does not beat'} both at once."
    )


def _pair(each: Comparison) -> str:
    return ARMS[each.first].title.partition(", ")[2]


def _change(each: Comparison) -> str:
    return f"{each.value:+.4f} [{each.low:+.4f}, {each.high:+.4f}]"


def values(results: pd.DataFrame, table: str) -> Table:
    """Means and standard deviations over seeds."""
    rows = []
    for arm in (arm for arm in ARMS.values() if arm.table == table):
        own = results[results["arm"] == arm.name]
        if own.empty:
            continue
        cells = [_mean(own[column]) for column in COLUMNS[table].values()]
        published = [f"{PUBLISHED[arm.name][m]:g}" for m in NAMES] if table == "prototype" else []
        rows.append([arm.title, str(len(own)), *cells, *published])
    header = [
        "arm",
        "seeds",
        *NAMES.values(),
        *(["MRR, prototype", "squared error, prototype"] if table == "prototype" else []),
    ]
    return Table(
        f"The {table}{chr(39) + 's' if table == 'prototype' else ''} table",
        header,
        rows,
        "In brackets the standard deviation over seeds.",
    )


def _mean(values: pd.Series) -> str:
    return f"{values.mean():.4f}" + (f" ({values.std():.4f})" if len(values) > 1 else "")


def tests(compared: list[Comparison]) -> Table:
    """Every comparison."""
    rows = [
        [
            f"{ARMS[each.first].title} - {ARMS[each.second].title}",
            NAMES[each.metric],
            _change(each),
            f"{each.p:.4f}",
            each.finding,
        ]
        for each in compared
    ]
    return Table(
        "Differences", ["arms", "metric", "difference", "p (Holm)", "finding"], rows, "Intervals over seeds, by t."
    )


def baselines(table: pd.DataFrame) -> Table:
    """Means over the splits."""
    rows = []
    for (kind, name), own in table.groupby(["table", "baseline"]):
        cells = ["" if own[column].isna().all() else f"{own[column].mean():.4f}" for column in ("mrr_all", "mse")]
        rows.append([str(kind), str(name).replace("_", " "), *cells, str(len(own))])
    header = ["split of table", "baseline", *NAMES.values(), "splits"]
    return Table("Baselines", header, rows, "biases 5: mean + b_u + b_i, each shrunk as by 5 ratings of the mean.")


def curves(table: pd.DataFrame) -> Figure:
    """Both losses and both metrics by epoch, means over seeds, of the prototype's arms."""
    columns = {
        "ranking_loss": "ranking loss, training", "rating_loss": "squared error, training",
        "mrr_all": "MRR, held out", "mse": "squared error, held out",
    }  # fmt: skip
    figure = Figure(figsize=(WIDTH, 5.2))
    for ax, (column, name) in zip(figure.subplots(2, 2).flat, columns.items(), strict=True):
        for arm, colour in zip((a for a in ARMS.values() if a.table == "prototype"), COLOURS):
            means = table[table["arm"] == arm.name].groupby("epoch")[column].mean()
            ax.plot(
                means.index,
                means.to_numpy(),
                color=colour,
                label=arm.title,
                linestyle="--" if "separate" in arm.name else "-",
            )
        ax.set_xlabel("epoch")
        ax.set_title(name)
    figure.axes[0].legend()
    return titled(figure, "How do both tasks learn, shared and separate?")
