"""A sweep without registration: its arms, baselines and pairs, and findings that the table alone gives."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_sweep import HIT, NDCG, made, runs
from scipy import stats

from ncf.errors import ConfigError, DataError
from ncf.report import sweep
from ncf.report.sweep import ALPHA, Contrast, Sweep
from ncf.stats.multiplicity import holm
from ncf.stats.paired import wilcoxon


def compared(found: Sweep) -> list[tuple[str, str]]:
    return [(treatment.label, baseline.label) for treatment, baseline in found.pairs]


def test_each_arm_is_compared_with_the_one_that_has_one_factor_at_its_baseline() -> None:
    assert compared(made(runs())) == [
        ("BCE, lr 0.01", "BCE, lr 0.001"),
        ("focal, lr 0.001", "BCE, lr 0.001"),
        ("focal, lr 0.01", "BCE, lr 0.01"),
        ("focal, lr 0.01", "focal, lr 0.001"),
    ]


@pytest.mark.parametrize(
    ("chosen", "pairs", "baselines"),
    [
        (
            {"loss": "focal"},
            [("BCE, lr 0.001", "focal, lr 0.001"), ("BCE, lr 0.01", "focal, lr 0.01")],
            ["focal for loss"],
        ),
        (
            {"optimizer.lr": "1e-2"},
            [("BCE, lr 0.001", "BCE, lr 0.01"), ("focal, lr 0.001", "focal, lr 0.01")],
            ["lr 0.01 for optimizer.lr"],
        ),
        (
            {"loss": "focal", "optimizer.lr": "0.01"},
            [
                ("focal, lr 0.001", "focal, lr 0.01"), ("BCE, lr 0.01", "focal, lr 0.01"),
                ("BCE, lr 0.001", "focal, lr 0.001"), ("BCE, lr 0.001", "BCE, lr 0.01"),
            ],
            ["focal for loss", "lr 0.01 for optimizer.lr"],
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_baseline_of_some_factors_compares_those_within_each_level_of_the_others(
    chosen: dict[str, str], pairs: list[tuple[str, str]], baselines: list[str]
) -> None:
    found = made(runs(), **chosen)
    assert compared(found) == pairs
    assert found.baselines == baselines
    assert [c.corrected for c in found.contrasts if c.metric == HIT] == pytest.approx(
        holm(np.array([c.p for c in found.contrasts if c.metric == HIT]))  # over what is compared, and no more
    )


def test_without_a_choice_an_arm_apart_is_compared_with_the_baseline_and_the_report_knows() -> None:
    """BCE at two rates, and focal at a third: focal differs from every other arm in both factors."""
    table = runs(seeds=3).query("loss == 'bce' or `optimizer.lr` == 0.01")
    table.loc[table["loss"] == "focal", "optimizer.lr"] = 0.1
    found = made(table)
    assert compared(found)[-1] == ("focal, lr 0.1", "BCE, lr 0.001")
    assert found.confounded == ["focal, lr 0.1"]
    chosen = made(table, **{"optimizer.lr": "0.001"})
    assert compared(chosen) == [("BCE, lr 0.01", "BCE, lr 0.001")]
    assert chosen.left_out == ["focal, lr 0.1"]


@pytest.mark.parametrize("comparisons", range(1, 40))
def test_the_seeds_needed_are_the_fewest_whose_smallest_p_survives_the_correction(comparisons: int) -> None:
    found = made(runs(seeds=1))
    vars(found)["pairs"] = [found.arms[:2]] * comparisons  # what the cached property would hold
    n = found.seeds_needed
    least = [wilcoxon(1.0 + np.arange(1, seeds + 1), np.ones(seeds)).p for seeds in (n - 1, n)]
    corrected = [holm(np.full(comparisons, p))[0] for p in least]
    assert corrected[0] > ALPHA >= corrected[1]


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
    assert obstacle(made(apart).contrasts) == "0 of the 3 common seeds that a test needs"
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


def folded(seeds: int) -> pd.DataFrame:
    """Three folds of each arm and seed, which lie 0, 0.3 and 0.9 above the first."""
    table = runs(seeds=seeds).query("`optimizer.lr` == 0.001")
    apart = {0: 0.0, 1: 0.3, 2: 0.9}
    own = [table.assign(**{"split.fold": fold, NDCG: table[NDCG] + more, "data_digest": str(fold) * 64,
                           "run": table["run"] + f"-{fold}"}) for fold, more in apart.items()]  # fmt: skip
    return pd.concat(own, ignore_index=True)


def test_folds_of_a_seed_are_one_value_their_mean_and_no_replications() -> None:
    plain, found = made(runs(seeds=2).query("`optimizer.lr` == 0.001")), made(folded(2).sample(frac=1, random_state=0))
    assert [arm.label for arm in found.arms] == [arm.label for arm in plain.arms]
    for arm, same in zip(found.arms, plain.arms, strict=True):
        assert found.values(arm, NDCG).to_dict() == pytest.approx((plain.values(same, NDCG) + 0.4).to_dict())
    assert (found.folds, plain.folds) == ([0, 1, 2], [])
    assert obstacle(found.contrasts) == "2 of the 3 common seeds that a test needs"  # not 6 runs
    assert {c.seeds for c in made(folded(6)).contrasts} == {6}


def test_a_missing_fold_is_named(tmp_path: Path) -> None:
    table = folded(2)
    sweep.load(written(tmp_path, table), 0.05, None)
    lacking = table[~((table["loss"] == "focal") & (table["split.fold"] == 2) & (table["seed"] == 43))]
    message = "expected the folds 0, 1, 2 of each arm and seed.*; missing are fold 2 of focal, seed 43; the sweep's own"
    with pytest.raises(DataError, match=message):
        sweep.load(written(tmp_path, lacking), 0.05, None)
    with pytest.raises(DataError, match=r"line 2: expected a split\.fold, found 'nan'"):
        sweep.load(
            written(tmp_path, table.assign(**{"split.fold": table["split.fold"].replace({0: np.nan})})), 0.05, None
        )


def written(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "results.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("loss", "expected settings such as loss=bce,neg_ratio=4, got 'loss'"),
        ("model=ease", r"expected settings that differ among the runs \(loss, gamma, .*\), got 'model'"),
        (
            "loss=bpr",
            r"expected one level of loss \(loss=bce; loss=focal,gamma=2,alpha=0.25\), got loss=bpr, which no ",
        ),
        ("loss=bce,gamma=2", r"expected one level of loss \(.*\), got loss=bce,gamma=2, which no run has"),
        ("loss=bce,loss.name=focal", r"expected each setting once, got loss.name twice"),
        ("loss=bce,focal", "expected one level of loss .* got loss=bce,focal, which no run has"),
    ],
)
def test_a_baseline_that_is_none_is_refused(tmp_path: Path, baseline: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--baseline: {message}"):
        sweep.load(written(tmp_path, runs()), 0.05, baseline)


def test_a_baseline_of_several_levels_is_refused_with_the_choices(tmp_path: Path) -> None:
    table = runs(seeds=3)
    table.loc[(table["loss"] == "focal") & (table["optimizer.lr"] == 0.01), "gamma"] = 3.0
    written(tmp_path, table)
    said = "expected one level of loss (loss=focal,gamma=2,alpha=0.25; loss=focal,gamma=3,alpha=0.25), got loss=focal,"
    with pytest.raises(ConfigError, match=re.escape(said) + " which is 2 of them"):
        sweep.load(tmp_path, 0.05, "loss=focal")
    assert sweep.load(tmp_path, 0.05, "loss=focal,gamma=3").baselines == ["focal (γ 3) for loss"]


def test_a_baseline_that_is_no_arm_or_has_no_counterpart_is_refused_with_the_arms(tmp_path: Path) -> None:
    cells = [("bce", 0.01), ("focal", 0.001), ("focal", 0.01)]
    table = runs(seeds=3)
    written(tmp_path, table[[cell in cells for cell in zip(table["loss"], table["optimizer.lr"], strict=True)]])
    with pytest.raises(ConfigError, match=r"one of the arms \(.*; .*; .*\), got BCE, lr 0.001$"):
        sweep.load(tmp_path, 0.05, "loss=bce,optimizer.lr=0.001")
    star = runs(seeds=3).query("loss == 'bce' or `optimizer.lr` == 0.01")
    star.loc[star["loss"] == "focal", "optimizer.lr"] = 0.1
    with pytest.raises(ConfigError, match=r"--baseline: expected arms that differ in loss alone, or .*; found only "):
        sweep.load(written(tmp_path, star), 0.05, "loss=bce")


def test_a_value_may_have_commas(tmp_path: Path) -> None:
    table = runs(seeds=3).assign(model="mlp")
    table["model.hidden"] = np.where(table["optimizer.lr"] == 0.01, "[64, 32]", "[128, 64, 32]")
    found = sweep.load(written(tmp_path, table.drop(columns="optimizer.lr")), 0.05, "model.hidden=[64, 32],loss=bce")
    assert found.arms[0].label == "BCE, hidden [64, 32]"


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results\.csv: expected a row for each finished run"):
        sweep.load(tmp_path, 0.05, None)
    with pytest.raises(DataError, match="expected a test metric, found none"):
        sweep.load(written(tmp_path, runs().drop(columns=[NDCG, HIT])), 0.05, None)
    table = runs()
    table.loc[3, HIT] = np.inf
    with pytest.raises(DataError, match=r"line 5: expected a finite test/hit@10, found 'inf'"):
        sweep.load(written(tmp_path, table), 0.05, None)
