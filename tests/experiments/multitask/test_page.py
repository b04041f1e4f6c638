"""The page from made-up rows: its numbers are theirs, it says what they show, and the same rows give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import compose

from experiments.multitask import page
from experiments.multitask.arms import ARMS, SEEDS
from ncf.runs.plan import plan_run


def made_up(folder: Path, mrr: dict[str, float], mse: dict[str, float], seeds: int = 10) -> pd.DataFrame:
    """Rows with these means by arm (0.08 and 0.83 if it has none), noise that pairs share, and some of their own."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.005, seeds)
    rows, lines = [], []
    for arm in ARMS.values():
        for seed in range(seeds):
            own = shared[seed] + rng.normal(0, 0.001)
            values = {"mrr_all": mrr.get(arm.name, 0.08) + own, "mse": mse.get(arm.name, 0.83) + own}
            columns = {f"{kind}/{name}": v for kind in ("last", "best", "valid", "test") for name, v in values.items()}
            rows.append({"table": arm.table, "arm": arm.name, "seed": seed, **columns, "commit": "c" * 40})
            lines += [
                {"arm": arm.name, "seed": seed, "epoch": e, "ranking_loss": 0.3, "rating_loss": 0.9, **values}
                for e in (1, 2)
            ]
    names = [("biases_5", np.nan, 0.87), ("popularity", 0.057, np.nan)]
    kinds = [(table, seed, *name) for table in ("prototype", "tuned") for seed in range(seeds) for name in names]
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    pd.DataFrame(lines).to_csv(folder / "epochs.csv", index=False)
    pd.DataFrame(kinds, columns=["table", "seed", "baseline", "mrr_all", "mse"]).to_csv(
        folder / "baselines.csv", index=False
    )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_a_plan_and_pairs_share_their_split(arm: str) -> None:
    plans = [plan_run(compose(*ARMS[arm].overrides(seed))) for seed in SEEDS[:2]]
    assert all(plan.rates and plan.settings["data"]["threshold"] is None for plan in plans)
    assert plans[0].settings["split"]["seed"] != plans[1].settings["split"]["seed"]
    for first, second in page.PAIRS:
        own = [plan_run(compose(*ARMS[name].overrides(3))).settings for name in (first, second)]
        assert own[0]["split"] == own[1]["split"]
        assert own[0]["seed"] == own[1]["seed"]


def test_a_difference_is_that_of_pairs_and_less_error_is_better(tmp_path: Path) -> None:
    results = made_up(tmp_path, {"shared_tuned": 0.12}, {"shared_tuned": 0.80, "separate_99": 0.80})
    found = {(each.first, each.second, each.metric): each for each in page.comparisons(results)}
    tuned = found["shared_tuned", "separate_tuned", "mrr_all"]
    by_seed = results.pivot(index="seed", columns="arm", values="test/mrr_all")
    assert tuned.value == pytest.approx((by_seed["shared_tuned"] - by_seed["separate_tuned"]).mean())
    assert tuned.low < tuned.value < tuned.high
    assert tuned.p == pytest.approx(2 * 2 / 2**10)  # the least of ten pairs, times the two tests of its table
    assert tuned.finding == "better"
    assert found["shared_tuned", "separate_tuned", "mse"].finding == "better"
    assert found["shared_99", "separate_99", "mse"].finding == "worse"
    assert found["shared_50", "separate_50", "mse"].finding == "undecided"


def test_the_page_has_the_numbers_of_its_rows_and_the_same_bytes_again(tmp_path: Path) -> None:
    results = made_up(tmp_path, {"shared_tuned": 0.12}, {"shared_tuned": 0.80})
    page.write(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "<!-- answer" not in text
    assert f"{results.loc[results['arm'] == 'shared_tuned', 'test/mrr_all'].mean():.4f}" in text
    assert "so it beats both at once" in text
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    page.write(tmp_path)
    assert {path: path.read_bytes() for path in before} == before


def test_a_setting_that_beats_one_metric_alone_does_not_beat_the_prototype(tmp_path: Path) -> None:
    made_up(tmp_path, {"shared_tuned": 0.12}, {})
    page.write(tmp_path)
    assert "so it does not beat both at once" in (tmp_path / "README.md").read_text()


def test_with_too_few_seeds_nothing_is_concluded(tmp_path: Path) -> None:
    made_up(tmp_path, {}, {}, seeds=2)
    page.write(tmp_path)
    assert "too few seeds to tell" in (tmp_path / "README.md").read_text()
