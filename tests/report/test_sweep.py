"""A sweep without registration: its arms, baselines and pairs, and findings that the table alone gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_sweep import HIT, NDCG, made, runs
from scipy import stats

from ncf.errors import ConfigError, DataError
from ncf.report import sweep
from ncf.report.sweep import Contrast


def test_arms_are_what_differs_but_the_seed_and_the_defaults_are_their_baseline() -> None:
    found = made(runs())
    assert found.factors == {"loss": ["loss", "gamma", "alpha"], "optimizer.lr": ["optimizer.lr"]}
    assert [arm.label for arm in found.arms] == [
        "BCE, lr 0.001", "BCE, lr 0.01", "focal (γ 2, α 0.25), lr 0.001", "focal (γ 2, α 0.25), lr 0.01",
    ]  # fmt: skip


def test_each_arm_is_compared_with_the_one_that_has_one_factor_at_its_baseline() -> None:
    found = [(treatment.label, baseline.label) for treatment, baseline in made(runs()).pairs]
    assert found == [
        ("BCE, lr 0.01", "BCE, lr 0.001"),
        ("focal (γ 2, α 0.25), lr 0.001", "BCE, lr 0.001"),
        ("focal (γ 2, α 0.25), lr 0.01", "BCE, lr 0.01"),
        ("focal (γ 2, α 0.25), lr 0.01", "focal (γ 2, α 0.25), lr 0.001"),
    ]
    lonely = runs().query("(loss == 'bce') == (`optimizer.lr` == 0.001)")  # two arms that differ in both factors
    assert [(t.label, b.label) for t, b in made(lonely).pairs] == [("focal (γ 2, α 0.25), lr 0.01", "BCE, lr 0.001")]


def test_the_user_may_choose_the_baseline() -> None:
    found = made(runs(), loss="focal", **{"optimizer.lr": "0.01"})
    assert found.arms[0].label == "focal (γ 2, α 0.25), lr 0.01"


def test_findings_are_paired_by_seed_and_corrected_within_a_metric() -> None:
    table = runs()
    found = made(table.sample(frac=1, random_state=0))  # the order of rows does not matter
    by = table.pivot(index="seed", columns=["loss", "optimizer.lr"], values=NDCG)
    raw = [
        stats.wilcoxon(by[treatment], by[baseline], method="exact").pvalue
        for treatment, baseline in (
            (("bce", 0.01), ("bce", 0.001)), (("focal", 0.001), ("bce", 0.001)),
            (("focal", 0.01), ("bce", 0.01)), (("focal", 0.01), ("focal", 0.001)),
        )
    ]  # fmt: skip
    own = [c for c in found.contrasts if c.metric == NDCG]
    assert [c.p for c in own] == pytest.approx(raw)
    assert own[1].corrected == pytest.approx(4 * raw[1])  # the smallest of four
    assert [c.finding for c in own] == ["equivalent", "better", "better", "equivalent"]
    assert {c.seeds for c in own} == {8}
    assert [c.metric for c in found.contrasts] == [NDCG] * 4 + [HIT] * 4


def test_a_loss_is_worse_and_noise_is_undecided() -> None:
    assert {c.finding for c in made(runs(gain=-0.02)).contrasts if c.baseline.startswith("BCE, lr 0.001")} == {
        "worse", "equivalent",
    }  # fmt: skip
    noisy = runs(seeds=4)
    noisy[NDCG] = np.random.default_rng(1).random(len(noisy))
    assert {c.finding for c in made(noisy).contrasts if c.metric == NDCG} == {"undecided"}


def obstacle(contrasts: list[Contrast]) -> str:
    return contrasts[0].obstacle or ""


def test_too_few_common_seeds_are_undecided_with_the_reason_and_equal_runs_equivalent() -> None:
    one_rate = runs(seeds=3).query("`optimizer.lr` == 0.001")
    apart = one_rate.assign(seed=one_rate["seed"] + 100 * (one_rate["loss"] == "focal"))
    assert obstacle(made(apart).contrasts) == "0 common seeds, at least 3 are needed"
    same = one_rate.assign(**{NDCG: 0.1, HIT: 0.2})
    assert {c.finding for c in made(apart).contrasts} == {"undecided"}
    assert {(c.finding, c.change and c.change.short) for c in made(same).contrasts} == {
        ("equivalent", "all 3 differences are zero")
    }


def test_the_direction_is_that_of_the_test() -> None:
    """One seed in twelve gains much, all others lose: the mean says better, the test says worse."""
    table = runs(seeds=12).query("`optimizer.lr` == 0.001")
    gain = (table["loss"] == "focal") * np.where(table["seed"] == table["seed"].min(), 0.1, -0.004)
    level = dict.fromkeys((NDCG, HIT), 0.06 + 1e-05 * table["seed"] * (1 + (table["loss"] == "focal")) + gain)
    (one, *_) = made(table.assign(**level)).contrasts
    assert one.treatment_mean > one.baseline_mean
    assert (one.direction, one.finding) == (-1, "worse")


def test_runs_of_one_arm_have_nothing_to_compare() -> None:
    found = made(runs().query("loss == 'bce' and `optimizer.lr` == 0.001"))
    assert (len(found.arms), found.contrasts, found.arms[0].label) == (1, [], "all runs")


def test_settings_of_a_named_component_are_one_factor() -> None:
    table = runs(seeds=3)
    sgd = table["loss"] == "focal"
    table["optimizer.name"], table["optimizer.momentum"] = np.where(sgd, "sgd", "adam"), np.where(sgd, 0.9, np.nan)
    assert made(table).factors["optimizer"] == ["optimizer.lr", "optimizer.name", "optimizer.momentum"]


def test_more_arms_than_a_design_has_are_refused() -> None:
    table = runs(seeds=60)
    with pytest.raises(
        DataError, match=r"expected at most 200 arms, found 240, which differ in loss, optimizer\.lr, model"
    ):
        _ = made(table.assign(**{"model.factors": table["seed"]})).arms


def written(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "results.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("loss", "expected settings such as loss=bce,neg_ratio=4, got 'loss'"),
        ("model=ease", r"expected settings that differ among the runs \(loss, gamma, .*\), got 'model'"),
        ("loss=bpr", "expected loss to be one of bce, focal, got 'bpr'"),
    ],
)
def test_a_baseline_that_is_none_is_refused(tmp_path: Path, baseline: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--baseline: {message}"):
        sweep.load(written(tmp_path, runs()), 0.05, baseline)


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results\.csv: expected a row for each finished run"):
        sweep.load(tmp_path, 0.05, None)
    with pytest.raises(DataError, match="expected a test metric, found none"):
        sweep.load(written(tmp_path, runs().drop(columns=[NDCG, HIT])), 0.05, None)
    table = runs()
    table.loc[3, HIT] = np.inf
    with pytest.raises(DataError, match=r"line 5: expected a finite test/hit@10, found 'inf'"):
        sweep.load(written(tmp_path, table), 0.05, None)
