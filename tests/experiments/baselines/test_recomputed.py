"""The page's numbers once more from results.csv and ranks.csv.gz, with numpy, pandas and scipy alone."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

FOLDER = Path(__file__).parents[3] / "experiments" / "baselines"
METRICS = {"NDCG@10": "test/ndcg@10", "HR@10": "test/hit@10"}
TITLES = {
    "popularity": "Popularity", "user_knn": "UserKNN", "item_knn": "ItemKNN", "puresvd": "PureSVD", "ease": "EASE",
    "als": "ALS (ratings)", "ials": "iALS", "mf": "MF, BCE", "bpr_mf": "BPR-MF", "gmf": "GMF", "mlp": "MLP",
    "neumf": "NeuMF, BCE", "neumf_default": "NeuMF, BCE, default settings", "neumf_pretrained": "NeuMF, pre-trained",
}  # fmt: skip
ROUNDED = 5.1e-5  # four decimals of what the CSV files have to six digits
NCF = ["gmf", "mlp", "neumf", "neumf_default", "neumf_pretrained"]


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results.csv")


@pytest.fixture(scope="module")
def values() -> dict[str, dict[str, np.ndarray]]:
    """Title of a metric -> arm -> (seeds, users), from the ranks; tied items share their ranks' metrics."""
    table = pd.read_csv(FOLDER / "ranks.csv.gz", dtype=str)
    found: dict[str, dict[str, np.ndarray]] = {metric: {} for metric in METRICS}
    for name in TITLES:
        runs = [f"{name}-s{seed}" for seed in range(42, 52) if f"{name}-s{seed}" in table]
        both = [[_metrics(cell) for cell in table[run]] for run in runs]
        for n, metric in enumerate(METRICS):
            found[metric][name] = np.array(both)[..., n]
    return found


def _metrics(cell: str) -> tuple[float, float]:
    """NDCG@10 and HR@10, the mean over the places that an item of tied score can have."""
    average, _, tied = cell.partition(":")
    first = float(average) - (int(tied or 1) - 1) / 2
    places = first + np.arange(int(tied or 1))
    return float(((places <= 10) / np.log2(places + 1)).mean()), float((places <= 10).mean())


def crossed(d: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean of (seeds, users), its standard errors of seeds and of users, and the degrees of freedom of their t."""
    s, u = d.shape
    rows, columns = d.mean(1), d.mean(0)
    rest = d - rows[:, None] - columns + d.mean()
    ms = u * rows.var(ddof=1), s * columns.var(ddof=1), (rest**2).sum() / ((s - 1) * (u - 1))
    errors = np.sqrt([ms[0] / (s * u), max(ms[1] - ms[2], 0) / (s * u)])
    return float(d.mean()), errors, np.array([s - 1, u - 1])


def inferred(d: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, ends of the 95% interval, and the p of which 1 - p is the level whose interval ends at 0."""
    mean, errors, freedom = crossed(d)

    def half(alpha: float) -> float:
        return float(np.hypot(*(errors * stats.t.isf(alpha / 2, freedom))))

    p = (
        np.exp(optimize.brentq(lambda log_p: half(np.exp(log_p)) - abs(mean), -300, 0))
        if half(1e-130) > abs(mean)
        else 0
    )
    return mean, mean - half(0.05), mean + half(0.05), float(p)


def pair(values: dict[str, np.ndarray], name: str, against: str) -> tuple[np.ndarray, np.ndarray]:
    t, b = values[name], values[against]
    seeds = max(len(t), len(b), 2)
    return tuple(np.broadcast_to(v, (seeds, v.shape[1])) for v in (t, b))  # type: ignore[return-value]


def signed_rank(d: np.ndarray) -> float:
    """Exact two-sided p with midranks over all signs of the differences that are not 0."""
    ranks = stats.rankdata(np.round(np.abs(d[np.abs(d) > 1e-12]), 12))
    signs = np.array(list(itertools.product([-1, 1], repeat=len(ranks))))
    seen = abs((np.sign(d[np.abs(d) > 1e-12]) * ranks).sum())
    return float((np.abs(signs @ ranks) >= seen - 1e-9).mean())


def holm(p: pd.Series) -> pd.Series:
    ordered = p.sort_values()
    return (ordered * np.arange(len(p), 0, -1)).cummax().clip(upper=1).reindex(p.index)


def opponents(results: pd.DataFrame) -> tuple[str, str]:
    """NeuMF and the best baseline, by validation."""
    mean = results.groupby("arm")["valid/ndcg@10"].mean()
    return str(mean[["neumf", "neumf_default"]].idxmax()), str(mean.drop(NCF).idxmax())


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", cell)]


def cells(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]


def test_the_ranks_have_the_metrics_of_the_results(
    results: pd.DataFrame, values: dict[str, dict[str, np.ndarray]]
) -> None:
    assert set(results["arm"]) == set(TITLES)
    for metric, column in METRICS.items():
        for name, table in values[metric].items():
            own = results[results["arm"] == name].sort_values("seed")[column]
            assert table.mean(1) == pytest.approx(own.to_numpy(), abs=6e-7)


def test_every_models_row_of_the_page(results: pd.DataFrame, values: dict[str, dict[str, np.ndarray]]) -> None:
    page = (FOLDER / "README.md").read_text()
    rows = {row[0]: row for row in cells(page[page.index("**Every model**") : page.index("## Against NeuMF")])}
    for name, title in TITLES.items():
        own = results[results["arm"] == name]
        for place, metric in enumerate(METRICS, 1):
            table = values[metric][name]
            mean, low, high, _ = inferred(table if len(table) > 1 else np.repeat(table, 2, axis=0))
            assert numbers(rows[title][place]) == pytest.approx([mean, max(low, 0), high], abs=ROUNDED)
        assert rows[title][3] == f"{own['valid/ndcg@10'].mean():.4f}"
        spread = f"{own['test/ndcg@10'].std():.4f}" if len(own) > 1 else "none"
        assert rows[title][4:] == [str(len(own)), spread]


def test_every_comparison_of_the_page(results: pd.DataFrame, values: dict[str, dict[str, np.ndarray]]) -> None:
    page = (FOLDER / "README.md").read_text()
    for against in opponents(results):
        part = page[page.index(f"**Against {TITLES[against]}**") :]
        rows = [row for row in cells(part) if row[0] in METRICS][: 2 * (len(TITLES) - 1)]
        for metric, own in ((m, {row[1]: row for row in rows if row[0] == m}) for m in METRICS):
            names = [name for name in TITLES if name != against]
            pairs = {name: pair(values[metric], name, against) for name in names}
            found = {name: inferred(t - b) for name, (t, b) in pairs.items()}
            both = holm(pd.Series({name: p for name, (*_, p) in found.items()}))
            seeds = pd.Series({
                name: signed_rank((t - b).mean(1))
                for name, (t, b) in pairs.items()
                if max(len(values[metric][name]), len(values[metric][against])) > 1
            })  # fmt: skip
            seeds = holm(seeds)
            for name in names:
                mean, low, high, _ = found[name]
                row, relative = own[TITLES[name]], mean / pairs[name][1].mean()
                assert numbers(row[2]) == pytest.approx([mean, low, high], abs=ROUNDED)
                assert numbers(row[3]) == pytest.approx([100 * relative], abs=0.051)
                assert shown(row[4]) == pytest.approx(both[name], abs=ROUNDED)
                assert (shown(row[5]) if row[5] else None) == (
                    pytest.approx(seeds[name], abs=ROUNDED) if name in seeds else None
                )
                finding = "undecided" if both[name] > 0.05 else "better" if mean > 0 else "worse"
                assert row[6] == finding


def shown(p: str) -> float:
    return 0.0 if p == "< 0.0001" else float(p)


def test_the_first_lines_say_what_the_tables_do(results: pd.DataFrame) -> None:
    page = (FOLDER / "README.md").read_text()
    mean = results.groupby("arm")["test/ndcg@10"].mean().sort_values(ascending=False)
    reference, best = opponents(results)
    head = page[: page.index("## The design")]
    assert f"{TITLES[str(mean.index[0])]} ranks best**, with a test NDCG@10 of {mean.iloc[0]:.4f}" in head
    assert f"has {mean[reference]:.4f} and is number {list(mean.index).index(reference) + 1} of {len(mean)}" in head
    assert f"best baseline by validation is {TITLES[best]}, with {mean[best]:.4f} on test" in head
    part = page[page.index(f"**Against {TITLES[reference]}**") :]
    finding = next(row[6] for row in cells(part) if row[:2] == ["NDCG@10", TITLES[best]])
    assert {"better": "**No.", "worse": "**Yes.", "undecided": "**That is not shown"}[finding] in head
    dirty = results["commit"].str.endswith("-dirty").sum()
    assert ("all from clean trees" in page) == (dirty == 0)
    validation = results.groupby("arm")["valid/ndcg@10"].mean()
    assert f"mean validation NDCG@10 of {validation['neumf']:.4f}" in page
    assert f"which nobody tuned, {validation['neumf_default']:.4f}" in page
