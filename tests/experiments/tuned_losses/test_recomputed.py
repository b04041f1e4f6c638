"""The page's numbers once more from its CSV files and the registration, with numpy, pandas and scipy alone."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

FOLDER = Path(__file__).parents[3] / "experiments" / "tuned_losses"
BLOCKS, DRAWS, REFITS, SHARE, MARGIN = 24, 5, 4, 0.0195, 0.05  # as registered
ARMS = {"bce": "BCE", "alpha_bce": "α-BCE", "focal": "focal loss"}
CONTRASTS = {"focal loss − BCE": "bce", "focal loss − α-BCE": "alpha_bce"}
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e-?\d+)?"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.concat([pd.read_csv(path) for path in sorted((FOLDER / "runs").glob("block-*.csv"))])


@pytest.fixture(scope="module")
def page() -> str:
    return (FOLDER / "README.md").read_text()


@pytest.fixture(scope="module")
def refits(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["stage"] == "refit") & rows["test_ndcg"].notna()]


def of_blocks(refits: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over draws of the mean over refits: block by arm."""
    return refits.groupby(["block", "draw", "arm"])[column].mean().groupby(["block", "arm"]).mean().unstack("arm")


def compared(values: pd.DataFrame, baseline: str) -> dict[str, float]:
    """Relative change with its interval, difference with its error, p, and p of equivalence, none corrected."""
    treatment, base = (values[arm].to_numpy() for arm in ("focal", baseline))
    t, critical = stats.t(BLOCKS - 1), stats.t(BLOCKS - 1).isf(0.025)

    def statistic(change: float) -> float:
        d = treatment - (1 + change) * base
        return float(d.mean() / np.sqrt((1 / BLOCKS + SHARE) * d.var(ddof=1)))

    relative = treatment.mean() / base.mean() - 1
    return {
        "relative": relative,
        "low": optimize.brentq(lambda change: statistic(change) - critical, relative - 0.5, relative),
        "high": optimize.brentq(lambda change: statistic(change) + critical, relative, relative + 0.5),
        "difference": (treatment - base).mean(),
        "error": np.sqrt((1 / BLOCKS + SHARE) * (treatment - base).var(ddof=1)),
        "p": 2 * t.sf(abs(statistic(0.0))),
        "same": max(t.sf(statistic(-MARGIN)), t.cdf(statistic(MARGIN))),
    }


def table(page: str, title: str) -> list[list[str]]:
    part = page[page.index(f"**{title}**") :]
    lines = [line for line in part.split("\n\n")[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def numbers(text: str) -> list[float]:
    return [float(n) / (100 if percent else 1) for n, percent in re.findall(rf"({NUMBER})(%?)", text)]


def test_every_registered_run_is_there_once(rows: pd.DataFrame, refits: pd.DataFrame) -> None:
    assert len(rows) == len(rows["run"].unique())
    trials = rows[rows["stage"] == "trial"]
    rungs = trials.groupby(["block", "draw", "arm", "epochs"]).size().unstack()
    assert rungs.shape == (BLOCKS * DRAWS * len(ARMS), 4)
    assert (rungs == [16, 8, 4, 2]).all(axis=None)
    assert (refits.groupby(["block", "draw", "arm"]).size() == REFITS).all()
    assert len(refits) == BLOCKS * DRAWS * len(ARMS) * REFITS
    assert rows["registration"].nunique() == 1
    assert not rows["commit"].str.contains("dirty").any()


def test_the_best_of_each_rung_on_validation_went_on(rows: pd.DataFrame) -> None:
    trials = rows[rows["stage"] == "trial"].set_index(["block", "draw", "arm"]).sort_index()
    for _, own in trials.groupby(level=[0, 1, 2]):
        for before, after in pairwise([5, 10, 20, 40]):
            ranked = own[own["epochs"] == before].sort_values(["valid_ndcg", "number"], ascending=[False, True])
            went_on = own[own["epochs"] == after]["number"]
            assert set(went_on) == set(ranked["number"].head(len(went_on)))


def test_the_registered_tests(page: str, refits: pd.DataFrame) -> None:
    values = of_blocks(refits, "test_ndcg")
    found = {title: compared(values, baseline) for title, baseline in CONTRASTS.items()}
    p, same = (dict(zip(found, holm([t[key] for t in found.values()]), strict=True)) for key in ("p", "same"))
    shown = table(page, "Test NDCG@10, the registered tests")
    assert [row[0] for row in shown] == list(CONTRASTS)
    for (title, t), row in zip(found.items(), shown, strict=True):
        assert numbers(row[1]) == pytest.approx([t["relative"], t["low"], t["high"]], abs=5.1e-5)
        assert numbers(row[2]) == pytest.approx([t["difference"], t["error"]], abs=5.1e-6)
        assert float(row[3]) == pytest.approx(p[title], rel=6e-3)
        assert float(row[4]) == pytest.approx(same[title], rel=6e-3)
        assert row[5] == decision(t, p[title], same[title])
        first = next(line for line in page.splitlines() if f"against {title.split(' − ')[1]}, both tuned" in line)
        assert row[5] in first
        assert numbers(first.split("tuned: ")[1].split(" in NDCG")[0]) == pytest.approx(
            [t["relative"], t["low"], t["high"]], abs=5.1e-4
        )


def holm(p: list[float]) -> list[float]:
    low, high = 2 * min(p), max(*p, 2 * min(p))
    return [min(low if value == min(p) else high, 1.0) for value in p]


def decision(t: dict[str, float], p: float, same: float) -> str:
    """The registered rule: the finding of the uncorrected p, undecided unless its corrected p is at most 0.05."""
    if t["same"] <= 0.05:
        return "has no worthwhile effect" if same <= 0.05 else "is undecided"
    if t["p"] <= 0.05 and p <= 0.05:
        return "helps" if t["difference"] > 0 else "harms"
    return "is undecided"


def test_levels_and_the_other_metric(page: str, refits: pd.DataFrame) -> None:
    ndcg, hit = (of_blocks(refits, column) for column in ("test_ndcg", "test_hit"))
    for arm, row in zip(ARMS, table(page, "What the tuned losses reach"), strict=True):
        assert row[0] == ARMS[arm]
        for cell, values in zip(row[1:], (ndcg, hit), strict=True):
            assert numbers(cell) == pytest.approx([values[arm].mean(), values[arm].std()], abs=5.1e-5)
    for row in table(page, "Test HR@10"):
        t = compared(hit, CONTRASTS[row[0]])
        assert numbers(row[1]) == pytest.approx([t["relative"], t["low"], t["high"]], abs=5.1e-5)


def test_the_posterior(page: str, refits: pd.DataFrame) -> None:
    """By brute force: the likelihood with its whole covariance matrix on a grid of the effect and the spread."""
    values = of_blocks(refits, "test_ndcg")
    spread = refits.groupby(["arm", "block", "draw"])["test_ndcg"].var().groupby("arm").mean() / REFITS / DRAWS
    for row in table(page, "Sensitivity: a Bayesian hierarchical model"):
        baseline = CONTRASTS[row[0]]
        level = values[baseline].mean()
        y = ((values["focal"] - values[baseline]) / level).to_numpy()
        noise = (spread["focal"] + spread[baseline]) / level**2
        mu, tau = (np.arange(1200) + 0.5) / 2000 - 0.3, (np.arange(150) + 0.5) / 500  # the middles of cells
        r = SHARE / (1 + SHARE)
        correlation = (1 - r) * np.eye(BLOCKS) + r
        log = np.array([[
            stats.multivariate_normal(np.zeros(BLOCKS), (s**2 + noise) * correlation).logpdf(y - mu[:, None])
        ] for s in tau])[:, 0]  # fmt: skip
        log += stats.norm.logpdf(mu, 0, 0.1) + stats.norm.logpdf(tau, 0, 0.1)[:, None]
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        of_mu = weight.sum(0)
        ends = np.interp([0.025, 0.975], of_mu.cumsum(), mu + 0.00025)
        assert numbers(row[1].replace("[95%]", "")) == pytest.approx([of_mu @ mu, *ends], abs=1e-4)
        inside = np.abs(mu) <= MARGIN
        expected = [of_mu[mu > MARGIN].sum(), of_mu[inside].sum(), of_mu[mu < -MARGIN].sum()]
        assert [float(cell) for cell in row[2:5]] == pytest.approx(expected, abs=1e-3)
        assert numbers(row[5]) == pytest.approx([weight.sum(1) @ tau], abs=1e-3)


@pytest.fixture(scope="module")
def drawn() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "configurations.csv")


def test_what_tuning_chose(page: str, rows: pd.DataFrame, drawn: pd.DataFrame) -> None:
    last = rows[(rows["stage"] == "trial") & (rows["epochs"] == 40) & (rows["arm"] == "focal")]
    best = last.sort_values(["valid_ndcg", "number"], ascending=[False, True]).groupby(["block", "draw"]).first()
    chosen = best.reset_index().merge(drawn, left_on=["block", "draw", "number"], right_on=["block", "draw", "trial"])
    gamma, alpha = chosen["loss.gamma"], chosen["loss.alpha"]
    line = next(line for line in page.splitlines() if "The γ that tuning chose" in line)
    assert numbers(line.split("repetitions (")[0]) == pytest.approx(
        [gamma.median(), gamma.quantile(0.25), gamma.quantile(0.75), 0, 3, 1, (gamma < 1).mean(), BLOCKS * DRAWS],
        abs=5.1e-3,
    )
    assert f"Its α: median {alpha.median():.2f}." in line
    refits = rows[rows["stage"] == "refit"]
    lost = refits["test_ndcg"].isna().sum()
    assert f"Refits that never learned, and were replaced: {lost} of {len(refits)}." in page
    assert f"Draws left out for want of a value: 0 of {BLOCKS * DRAWS}." in page
    said = f"All runs took {rows['seconds'].sum() / 3600:.1f} core-hours; {len(rows)} runs:"
    assert said in page
    for commit, count in rows["commit"].value_counts().items():
        assert f"{count} from {commit}" in page


def test_what_gamma_changes_by_itself(page: str, rows: pd.DataFrame, drawn: pd.DataFrame) -> None:
    first = rows[(rows["stage"] == "trial") & (rows["epochs"] == 5)]
    both = first.pivot(index=["block", "draw", "number"], columns="arm", values="valid_ndcg").reset_index()
    both = both.merge(drawn, left_on=["block", "draw", "number"], right_on=["block", "draw", "trial"])
    both["change"] = (both["focal"] - both["alpha_bce"]) / both["alpha_bce"].mean()
    both["range"] = (both["loss.gamma"] // 0.5).clip(upper=5)
    blocks = both.groupby(["range", "block"])["change"].mean().unstack()
    mean, twice = blocks.mean(axis=1), 2 * blocks.std(axis=1) / np.sqrt(BLOCKS)
    line = next(line for line in page.splitlines() if "what γ adds" in line)
    for which, word in ((mean.idxmax(), "Most"), (mean.idxmin(), "least")):
        part = line[line.index(f"{word} around") :].split(")")[0]
        expected = [which / 2 + 0.25, mean[which], twice[which]]
        assert numbers(part.replace("γ = ", "")) == pytest.approx(expected, abs=5.1e-4)


def test_tuned_with_the_same_budget_is_not_tuned_well(page: str) -> None:
    """What the page says of halving NeuMF in the baselines, from their rows and results."""
    assert "five draws of this procedure came to less on validation than the default settings" in page
    tuning = pd.read_csv(FOLDER.parent / "baselines" / "tuning" / "neumf" / "block-00.csv")
    *draws, earlier = tuning[tuning["stage"] == "refit"].groupby("draw")["valid_ndcg"].mean()
    results = pd.read_csv(FOLDER.parent / "baselines" / "results.csv")
    default = results.loc[results["arm"] == "neumf_default", "valid/ndcg@10"].mean()
    assert len(draws) == 5
    assert max(draws) < min(default, earlier)


def test_the_first_paragraph_of_the_project_says_what_the_page_does(page: str) -> None:
    first = " ".join((FOLDER.parents[1] / "README.md").read_text().split("\n\n")[1].split())
    for row in table(page, "Test NDCG@10, the registered tests"):
        relative, low, high = numbers(row[1])
        changes = f"{relative:+.1%} [{low:+.1%}, {high:+.1%}] against {row[0].split(' − ')[1]}"
        assert changes in first
        assert row[5].removeprefix("has ") in first
