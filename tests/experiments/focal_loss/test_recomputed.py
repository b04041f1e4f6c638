"""The page's numbers once more from the committed tables, with numpy, pandas and scipy alone.

Nothing of the project's is called: not its statistics, its registration's reader, nor its tables.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

FOLDER = Path(__file__).parents[3] / "experiments" / "focal_loss"
MARGIN, ALPHA = 0.05, 0.05
SEEDS = {4: range(42, 72), 10: range(42, 78), 50: range(42, 52)}
METRICS = {"NDCG@10": "test/ndcg@10", "HR@10": "test/hit@10"}
ARMS = {
    "BCE": ("bce", None, None),
    "α-BCE": ("alpha_bce", None, 0.25),
    "focal": ("focal", 2.0, 0.25),
    "α-BCE, balanced α": ("alpha_bce", None, "balanced"),
    "focal, balanced α": ("focal", 2.0, "balanced"),
}
Row = list[str]


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results.csv")


def rows_of(name: str) -> list[Row]:
    """The cells of a table of the report."""
    lines = (FOLDER / "tables" / f"{name}.md").read_text().splitlines()
    body = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def arm(results: pd.DataFrame, name: str, ratio: int, column: str) -> pd.Series:
    """A metric by registered seed."""
    loss, gamma, alpha = ARMS[name]
    rows = results[(results["loss"] == loss) & (results["model"] == "neumf") & (results["neg_ratio"] == ratio)]
    if gamma is not None:
        rows = rows[np.isclose(rows["gamma"], gamma)]
    if alpha is not None:
        rows = rows[np.isclose(rows["alpha"], ratio / (ratio + 1) if alpha == "balanced" else alpha)]
    values = rows[rows["seed"].isin(SEEDS[ratio])].set_index("seed")[column].sort_index()
    assert values.index.tolist() == list(SEEDS[ratio])
    return values


def compared(results: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Treatment and baseline of a comparison, by seed."""
    contrast, _, rest = name.replace("α-BCE, balanced α", "α-BCE balanced").partition(", ")
    where, metric = rest.split(", ")
    treatment, _, baseline = contrast.partition(" vs ")
    if baseline.endswith(" balanced"):
        treatment, baseline = f"{treatment}, balanced α", baseline.replace(" balanced", ", balanced α")
    if not where.startswith("growth"):
        ratio = int(where.removeprefix("1:"))
        t, b = (arm(results, side, ratio, METRICS[metric]) for side in (treatment, baseline))
        return t.to_numpy(), b.to_numpy()
    t, b = (
        pd.concat([arm(results, side, ratio, METRICS[metric]) for ratio in SEEDS], axis=1).dropna().to_numpy()
        for side in (treatment, baseline)
    )
    slope = np.polyfit(np.log(list(SEEDS)), (t - b).T, 1)[0]
    return b.mean(1) + slope * np.log(50 / 4), b.mean(1)


def signed_rank(d: np.ndarray) -> tuple[float, int]:
    """Exact two-sided p of Wilcoxon's signed-rank test with midranks, zeros left out, and its direction."""
    d = d[np.abs(d) > 1e-12]
    twice = np.round(2 * stats.rankdata(np.round(np.abs(d), 12))).astype(int)
    counts = np.ones(1)
    for rank in twice:
        counts = np.pad(counts, (0, rank)) + np.pad(counts, (rank, 0))
    seen, total = int(twice[d > 0].sum()), int(twice.sum())
    tails = counts[: seen + 1].sum(), counts[seen:].sum()
    return float(min(1, 2 * min(tails) / counts.sum())), int(np.sign(2 * seen - total))


def holm(p: list[float]) -> np.ndarray:
    order, out, largest = np.argsort(p, kind="stable"), np.zeros(len(p)), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        out[index] = largest
    return out


def equivalence(t: np.ndarray, b: np.ndarray) -> float:
    """Two one-sided t tests of a relative change within the margin."""
    above = stats.ttest_1samp(t - (1 - MARGIN) * b, 0, alternative="greater").pvalue
    below = stats.ttest_1samp(t - (1 + MARGIN) * b, 0, alternative="less").pvalue
    return float(max(above, below))


def close(shown: str, value: float) -> bool:
    """Whether a p of two significant digits is this one."""
    return float(shown) == pytest.approx(value, rel=0.051 if value >= 1e-4 else 0.5)


def test_all_24_comparisons_of_the_page(results: pd.DataFrame) -> None:
    table = pd.DataFrame(rows_of("comparisons"), columns=list("hnsbtcpqef"))
    assert table.groupby("h").size().to_dict() == {"H1": 4, "H2": 8, "H3": 12}
    for _, family in table.groupby("h"):
        pairs = [compared(results, name) for name in family["n"]]
        tests = [signed_rank(t - b) for t, b in pairs]
        corrected = holm([p for p, _ in tests])
        equivalent = holm([equivalence(t, b) for t, b in pairs])
        for row, (t, b), (p, direction), q, e in zip(
            family.itertuples(), pairs, tests, corrected, equivalent, strict=True
        ):
            change = t.mean() / b.mean() - 1
            shown = (str(len(t)), f"{b.mean():.4f}", f"{t.mean():.4f}", f"{change:+.1%}")
            assert (row.s, row.b, row.t, str(row.c).split()[0]) == shown
            assert close(row.p, p)
            assert close(row.q, q)
            assert close(row.e, e)
            shown_effect = {1: "better", -1: "worse", 0: "undecided"}[direction] if q <= ALPHA else "undecided"
            assert row.f == ("equivalent" if e <= ALPHA else shown_effect)


def test_the_intervals_over_seeds_within_their_monte_carlo_error(results: pd.DataFrame) -> None:
    """BCa with another stream: an end of 9,999 resamples has a standard error of about 0.03 standard errors."""
    for row in rows_of("comparisons"):
        t, b = compared(results, row[1])
        found = stats.bootstrap(
            (t, b), lambda t, b, axis: t.mean(axis) / b.mean(axis) - 1, paired=True, vectorized=True, method="BCa",
            n_resamples=9999, rng=np.random.default_rng(7),
        )  # fmt: skip
        ends = [float(end) / 100 for end in re.findall(r"([-+][\d.]+)%[,\]]", row[5])]
        allowed = 5 * 0.03 * np.sqrt(2) * found.standard_error + 0.0005
        assert ends == pytest.approx(list(found.confidence_interval), abs=allowed), row


def test_the_headline_counts_the_findings_of_the_table() -> None:
    page = (FOLDER / "README.md").read_text()
    rows = rows_of("comparisons")
    for hypothesis in ("H1", "H2", "H3"):
        found = [row[-1] for row in rows if row[0] == hypothesis]
        worse, equivalent, undecided = (found.count(kind) for kind in ("worse", "equivalent", "undecided"))
        parts = [f"{worse} of {len(found)} comparisons {'is' if worse == 1 else 'are'} worse"]
        parts += [f"{equivalent} equivalent"] if equivalent else []
        assert f"{hypothesis} fails: {', '.join([*parts, f'{undecided} undecided'])}." in page
    assert "H1, H2 and H3 fail" in page
    total = sum(row[-1] == "undecided" for row in rows)
    assert f"{total} of the {len(rows)} comparisons are undecided" in page


def test_the_intervals_over_seeds_and_users_are_limits_from_the_committed_tables(results: pd.DataFrame) -> None:
    """Their narrowest: t over seeds. Their widest: all of the bootstrap's variance that seeds leave is the users'."""
    users = pd.read_csv(FOLDER / "users.csv")
    shown = {row[0]: row[3] for row in rows_of("users")}
    names = {"bce": "BCE", "alpha_bce": "α-BCE", "alpha_bce_balanced": "α-BCE, balanced α"}
    metrics = {column: name for name, column in METRICS.items()}
    without = [0, 0]
    for row in users.to_dict("records"):
        name = f"focal vs {names[row['baseline']]}, 1:{row['neg_ratio']}, {metrics[row['metric']]}"
        t, b = compared(results, name)
        s, change = len(t), t.mean() / b.mean() - 1
        assert (row["seeds"], row["change"]) == (s, pytest.approx(change, abs=1e-6))
        seeds = np.var(t / b.mean() - (1 + change) * b / b.mean(), ddof=1) / s
        drawn = ((row["change_high"] - row["change_low"]) / 2 / stats.norm.ppf(0.975)) ** 2
        rest = max(drawn - seeds * (s - 1) / s, 0)
        narrow = np.sqrt(seeds) * stats.t.ppf(0.975, s - 1)
        wide = np.hypot(narrow, np.sqrt(rest) * stats.t.ppf(0.975, row["users"] - 1))
        assert shown[name] == f"{change:+.1%} [{change - wide:+.1%}, {change + wide:+.1%}]"
        without[0] += abs(change) <= narrow
        without[1] += abs(change) <= wide
    assert f"{without[0]} to {without[1]} of the {len(users)} intervals" in (FOLDER / "README.md").read_text()


@pytest.mark.slow
def test_what_is_said_of_no_effect_is_what_studies_without_one_come_to(results: pd.DataFrame) -> None:
    """Studies without effect that have these runs' differences, centred, with the sign of every seed drawn anew."""
    page, studies = (FOLDER / "README.md").read_text(), 400
    rng = np.random.default_rng(3)
    for hypothesis in ("H1", "H2", "H3"):
        said = float(re.search(rf"{hypothesis} in (\d+)%", page)[1]) / 100  # type: ignore[index]
        names = [row[1] for row in rows_of("comparisons") if row[0] == hypothesis]
        pairs = [compared(results, name) for name in names if "growth" not in name]
        untested = [1.0] * (len(names) - len(pairs))  # growth is never equivalent, and seldom worse
        failed = 0
        for _ in range(studies):
            sign = rng.choice([-1, 1], 36)
            null = [((t - b - (t - b).mean()) * sign[: len(t)], b) for t, b in pairs]
            corrected = holm([signed_rank(d)[0] for d, _ in null] + untested)
            equivalent = holm([equivalence(b + d, b) for d, b in null] + untested)
            failed += bool(((corrected <= ALPHA) | (equivalent <= ALPHA)).any())
        assert failed / studies == pytest.approx(said, abs=4 * np.sqrt(0.1 * 0.9 / studies)), hypothesis
