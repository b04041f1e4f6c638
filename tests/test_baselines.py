"""The comparison of models: what it tests, that its settings run, and that its page is what its tables say."""

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.baselines import comparisons, page, published, tuning
from experiments.baselines.arms import ARMS, HERE, REFERENCE, TUNED
from ncf.models import MODELS
from ncf.results import resolved
from ncf.train import CONF, check
from ncf.tune import SPACES


def made_up(seeds: int, users: int = 60, shift: float = 0.0) -> np.ndarray:
    """A metric (seeds, users): most users have none, as with one held-out item."""
    rng = np.random.default_rng(seeds)
    return (rng.random((seeds, users)) < 0.3 + shift) * rng.random((seeds, users)) + 0.01


def test_every_model_is_compared_and_may_be_tuned():
    assert {arm.choices[0].removeprefix("model=") for arm in ARMS.values()} == set(MODELS)
    assert set(OmegaConf.load(SPACES)) == set(MODELS) - {"popularity"}
    assert REFERENCE in ARMS
    assert all(len(arm.seeds) in (1, 10) for arm in ARMS.values())


@pytest.mark.parametrize("name", ARMS)
def test_a_tuned_experiment_is_the_arm_it_is_named_after(name, monkeypatch):
    path = TUNED / f"tuned_{name}.yaml"
    assert path.exists()
    monkeypatch.setattr("ncf.pretraining.weights", lambda source, folder: {})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"experiment=tuned_{name}", "seed=43"], return_hydra_config=True)
    check(cfg)
    settings = resolved(cfg)
    arm = ARMS[name]
    assert f"{cfg.hydra.sweep.dir}/{cfg.hydra.sweep.subdir}" == str(arm.folder(43))
    for line in arm.settings:
        assert str(OmegaConf.select(cfg, line.partition("=")[0])) == line.partition("=")[2]
    if name == "neumf_pretrained":
        assert settings["model"]["pretrained_gmf"] == str(ARMS["gmf"].folder(43))


def test_the_yaml_of_a_study_says_what_it_took():
    summary = {"value": 0.0812, "trials": 15, "seconds": 90.0}
    text = tuning.experiment(ARMS["bpr_mf"], ["neg_ratio=4"], {"optimizer.lr": 0.003, "model.factors": 8}, summary)
    assert "# BPR-MF, tuned: validation NDCG@10 0.0812, the best of 15 trials in 1.5 min.\n" in text
    body = OmegaConf.create(text)
    assert body.defaults == [{"override /model": "mf"}, {"override /loss": "bpr"}]
    assert (body.neg_ratio, body.optimizer.lr, body.model.factors) == (4, 0.003, 8)


def test_chosen_numbers_are_rounded_and_nothing_else_is():
    assert [tuning.rounded(value) for value in (0.0012345, 223.739, 17, "cosine")] == [0.00123, 224.0, 17, "cosine"]


def test_models_without_randomness_have_only_users_to_vary_over():
    found = comparisons.compared(made_up(1), made_up(1) + 0.001 * np.arange(60))
    assert np.isnan(found["p_seeds"])
    assert 0 < found["p_users"] < 1


def test_one_value_is_compared_with_every_seed_of_the_other():
    ten = made_up(10)
    low = np.zeros((1, 60))
    found = comparisons.compared(ten, low + 1e-6)
    assert found["p_seeds"] == pytest.approx(2 / 2**10)
    assert found["difference"] == pytest.approx(ten.mean() - 1e-6)
    assert found["low"] < found["difference"] < found["high"]


def test_equal_models_do_not_differ():
    found = comparisons.compared(made_up(10), made_up(10))
    assert found["p_users"] == found["p_seeds"] == 1


def test_the_correction_is_within_an_opponent_and_a_metric():
    rows = [("ndcg@10", "neumf", "ease", 0.01), ("ndcg@10", "neumf", "gmf", 0.04), ("ndcg@10", "ease", "gmf", 0.04)]
    table = pd.DataFrame(rows, columns=["metric", "against", "arm", "p_users"]).assign(p_seeds=[0.01, np.nan, np.nan])
    found = comparisons.corrected(table)
    assert found["p_users"].tolist() == [0.02, 0.04, 0.04]
    assert found["p_seeds"].tolist()[0] == 0.01


def test_the_best_baseline_is_picked_by_validation_and_is_no_ncf_model():
    rows = [("ease", 0.07, 0.9), ("item_knn", 0.08, 0.1), ("neumf", 0.5, 0.5)]
    assert comparisons.best_baseline(pd.DataFrame(rows, columns=["arm", "valid/ndcg@10", "test/ndcg@10"])) == "item_knn"


def test_the_published_order_agrees_with_itself_and_a_turned_pair_is_named():
    theirs = published.reference()["models"]
    ours = pd.DataFrame([{"arm": name, **values} for name, values in theirs.items()])
    assert published.agreement(ours, "ndcg@10") == (1.0, [])
    ours.loc[ours["arm"] == "popularity", "ndcg@10"] = 0.39005
    tau, turned = published.agreement(ours, "ndcg@10")
    assert tau < 1
    assert turned == [("item_knn", "popularity")]


def test_the_page_is_what_the_tables_say(tmp_path):
    study = page.read()
    page.write(study, tmp_path)
    assert (tmp_path / "README.md").read_text() == (HERE / "README.md").read_text()
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        path.name for path in (HERE / "figures").iterdir()
    }
    first = (tmp_path / "figures/models.svg").read_bytes()
    page.write(study, tmp_path)
    assert (tmp_path / "figures/models.svg").read_bytes() == first


def test_the_page_says_who_wins_whoever_does():
    study = page.read()
    results = study.results.copy()
    results.loc[results["arm"] == REFERENCE, "test/ndcg@10"] = 1.0
    won = page.verdict(page.Study(**vars(study) | {"results": results}))
    assert won.startswith("**Yes. NeuMF, BCE ranks best**, with a test NDCG@10 of 1.0000")
    assert "number 1 of 13" in won


def test_nothing_of_a_user_or_a_rating_is_kept():
    for path in HERE.glob("*.csv"):
        assert not {"user_id", "item_id", "rank", "rating"} & set(pd.read_csv(path).columns)
