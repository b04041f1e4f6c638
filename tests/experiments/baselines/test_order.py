"""The comparison of models: what it tests, that its settings run, and that its page is what its tables say."""

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from ncf.runs.results import read_result, resolved
from omegaconf import OmegaConf

from experiments.baselines import comparisons, order, page, published, rankings, tuning
from experiments.baselines.arms import ARMS, HERE, METRICS, PROTOCOL, REFERENCE, RETUNED, TUNED
from ncf.evaluation.ranking import Ranks
from ncf.models import MODELS
from ncf.train import CONF, check, train
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


def test_every_model_with_a_published_value_is_tuned_for_that_protocol():
    assert set(RETUNED) == set(published.reference()["models"]) - {"popularity"}


@pytest.mark.parametrize("arm", [*ARMS.values(), *RETUNED.values()], ids=lambda arm: arm.name)
def test_a_tuned_experiment_is_the_arm_it_is_named_after(arm, monkeypatch):
    name = arm.name
    path = TUNED / f"tuned_{name}.yaml"
    assert path.exists()
    monkeypatch.setattr("ncf.pretraining.weights", lambda source, folder: {})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"experiment=tuned_{name}", "seed=43"], return_hydra_config=True)
    check(cfg)
    settings = resolved(cfg)
    published_protocol = settings["evaluation"]["name"] == "sampled" and settings["data"]["threshold"] is None
    assert published_protocol == (name.removesuffix("_published") != name)
    assert f"{cfg.hydra.sweep.dir}/{cfg.hydra.sweep.subdir}" == str(arm.folder(43))
    for line in arm.settings:
        assert (
            OmegaConf.select(cfg, line.partition("=")[0]) == OmegaConf.from_dotlist([f"x={line.partition('=')[2]}"]).x
        )
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


def brute_force(scores: list[int], negatives: int, cutoff: int) -> float:
    """HR of the first of `scores` among every draw of the others, over every order of what ties."""
    others = range(1, len(scores))
    found = []
    for luck in permutations(range(len(scores))):
        better = [other for other in others if (scores[other], luck[other]) > (scores[0], luck[0])]
        found += [len({*draw} & {*better}) < cutoff for draw in combinations(others, negatives)]
    return float(np.mean(found))


def test_the_mean_over_every_draw_is_that_of_all_draws_there_are():
    lists = [[3, 5, 1, 3, 2, 3], [1, 2, 3, 4, 5], [9, 1, 1, 1, 1], [2, 2, 2, 2, 2]]
    above = torch.tensor([sum(s > row[0] for s in row) for row in lists])
    tied = torch.tensor([sum(s == row[0] for s in row) for row in lists])
    nobody = torch.zeros(len(lists), dtype=torch.int64)
    ranks = Ranks(nobody, nobody, above, tied, torch.tensor([len(row) for row in lists]))
    found = rankings.every_draw(ranks, np.ones(2), 3)
    assert found == pytest.approx([brute_force(row, 3, 2) for row in lists])


def test_a_trained_model_is_ranked_in_three_ways(root, tmp_path):
    """One draw as its run has it, all items as a run under full ranking has it, every draw between many draws."""
    base = ["data=synthetic", f"data.root={root}", "data.users=80", "data.items=250", "data.interactions=3000"]
    base += ["model=item_knn", "device=cpu", "trainer.progress=false"]
    results = {}
    for name, more in {"drawn": PROTOCOL[:1], "full": ()}.items():
        (tmp_path / name).mkdir()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            train(compose("train", [*base, *more]), tmp_path / name, lambda: False)
        results[name] = read_result(tmp_path / name)["test"]
    found = rankings.per_user([tmp_path / "drawn"])
    for metric in METRICS:
        means = {ranking: found[ranking][metric].mean() for ranking in rankings.RANKINGS}
        assert means["one draw"] == pytest.approx(results["drawn"][metric], abs=1e-12)
        assert means["all items"] == pytest.approx(results["full"][metric], abs=1e-12)
        assert abs(means["every draw"] - means["one draw"]) < 0.1
        users = found["one draw"][metric].shape[1]
        halves = [found[f"one draw, {half} items"][metric] for half in ("rare", "popular")]
        assert found["every draw"][metric].shape == found["all items"][metric].shape == (1, users)
        assert halves[0].mean() < halves[1].mean()  # neighbours find popular items more easily
        assert min(half.shape[1] for half in halves) > 0.4 * users
        assert sum(half.sum() for half in halves) == pytest.approx(found["one draw"][metric].sum())


def measured(swapped: tuple[str, ...] = ()) -> published.Measured:
    """Made-up values in the published order, but for the two models that are swapped; 300 users who differ alike."""
    values = {name: {metric: v[metric] for metric in METRICS} for name, v in published.reference()["models"].items()}
    if swapped:
        a, b = swapped
        values[a], values[b] = values[b], values[a]
    noise = np.random.default_rng(0).normal(0, 1e-3, (len(values), 1, 300))
    tables = {
        name: {ranking: {m: v[m] + own - own.mean() for m in METRICS} for ranking in rankings.RANKINGS}
        for own, (name, v) in zip(noise, values.items(), strict=True)
    }
    return {published.MAIN: tables, published.OWN: tables}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(comparisons, "RESAMPLES", 20)


def tables(values: published.Measured) -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = comparisons.corrected(pd.DataFrame(published.pairs(values)), order.FAMILY)
    return pd.DataFrame(published.means(values)), pairs


def test_values_in_the_published_order_turn_no_pair_round(quick):
    ours, pairs = tables(measured())
    assert len(pairs) == 2 * 5 * 2 * 21
    assert (pairs["difference"] > 0).all()
    assert order.explanation(ours, pairs) == "- No pair is turned round."
    assert order.turned_round(ours, pairs).empty
    assert order.verdict(ours, pairs).startswith("**Yes, as far as 300 users can tell.**")


def test_a_pair_that_is_told_apart_and_turned_round_is_named(quick):
    ours, pairs = tables(measured(("user_knn", "item_knn")))
    found = order.turned_round(ours, pairs)
    assert set(zip(found["winner"], found["loser"], strict=True)) == {("user_knn", "item_knn")}
    assert "0 of them are in the published order, and 0 others are not" in order.explanation(ours, pairs)
    assert found["published"].to_numpy() == pytest.approx([0.0008, 0.0109] * 2)
    assert found["resolved"].to_numpy() == pytest.approx(found["half"].to_numpy() * np.sqrt(300 / 6040))
    said = order.verdict(ours, pairs) + order.agreement(ours, pairs) + order.explanation(ours, pairs)
    assert "**Not quite.**" in said
    assert "21 can be told apart, 1 of these turned round (ItemKNN above UserKNN (HR@10))" in said.replace(" pairs", "")
    assert said.count("this is not explained") == 4


def test_settings_that_put_a_pair_in_order_are_counted(quick):
    values = measured(("user_knn", "item_knn")) | {published.OWN: measured(("ease", "ials"))[published.OWN]}
    said = order.explanation(*tables(values))
    assert "2 of them are in the published order, and" in said
    assert "Rare items" in said
    assert "EASE over iALS in HR@10" in said


def test_a_published_gap_that_its_data_does_not_resolve_is_no_finding():
    row = {"winner": "neumf", "loser": "ials", "metric": "hit@10", "settings": "own"}
    assert "no published finding" in order._left(row | {"published": 0.001, "resolved": 0.007})
    assert "this is not explained" in order._left(row | {"published": 0.01, "resolved": 0.007})


def test_pairs_are_the_differences_of_the_means():
    study = page.read()
    assert (study.pairs.groupby(list(order.FAMILY)).size() == 21).all()
    values = study.published.set_index(["settings", "ranking", "arm"])
    for row in study.pairs.to_dict("records"):
        winner, loser = (values.loc[(row["settings"], row["ranking"], row[side])] for side in ("winner", "loser"))
        assert row["difference"] == pytest.approx(winner[row["metric"]] - loser[row["metric"]], abs=2e-6)


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
