"""`run.recommend_for(items, k)`: a finished run recommends to users whom it was not trained on."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from finished_runs import FinishedRuns
from toys import compose, random_split

import ncf
from ncf.core.rng import generator
from ncf.data import Split
from ncf.errors import DataError
from ncf.evaluation.top import top
from ncf.models import MODELS, GradientRecommender, build
from ncf.models.mf import MF
from ncf.models.new_users import Histories
from ncf.runs import new_users
from ncf.runs.ids import indices
from ncf.runs.loaded_run import LoadedRun
from ncf.train import train

IDS = np.arange(10, 20)


def read(items: Any, ratings: Any = None) -> list[tuple[list[int], list[float] | None]]:
    found = new_users.read_lists(partial(indices, "item", IDS), items, ratings)
    return [(own.tolist(), None if rated is None else rated.tolist()) for own, rated in found]


@pytest.mark.parametrize(
    "one", [[12, 10, 12], (12, 10), np.array([12, 10]), pd.Series([12, 10, 10]), ["12", "10"], (i for i in (12, 10))]
)
def test_a_list_in_any_order_and_kind_with_every_item_once(one: Any) -> None:
    assert read(one) == [([0, 2], None)]


def test_several_lists_and_ratings_of_their_shape() -> None:
    assert read([[12, 10], (19,)]) == [([0, 2], None), ([9], None)]
    assert read(np.array([[12, 10], [19, 18]])) == [([0, 2], None), ([8, 9], None)]
    assert read([12, 10, 12], [5, 4, 1]) == [([0, 2], [4, 5])]
    assert read([[12, 10], [19]], [[5, "4"], [3]]) == [([0, 2], [4, 5]), ([9], [3])]


@pytest.mark.parametrize(
    ("items", "ratings", "message"),
    [
        ([], None, "items: expected at least one item, found none"),
        ([[12], []], None, "items: expected at least one item, found none in list 2"),
        ("12", None, "items: expected a list, or a list of lists, got '12'"),
        (12, None, "items: expected a list, or a list of lists, got 12"),
        ([[12], 13], None, "items: expected a list, or a list of lists, got 13 among lists"),
        ([12, 99], None, "item: expected an id among the 10 items with positives (10 to 19), got 99"),
        ([12, 13], [5], "ratings: expected 2, one for each item, got 1"),
        ([[12], [13]], [[5], [4, 4]], "ratings: expected 1, one for each item in list 2, got 2"),
        ([[12], [13]], [5, 4], "ratings: expected 2 lists, one for each list of items, got 1"),
        ([12], ["good"], "ratings: expected finite numbers, got 'good'"),
        ([12], [float("inf")], "ratings: expected finite numbers, got inf"),
    ],
)
def test_what_is_no_list_of_items_is_one_line(items: Any, ratings: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(items, ratings)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left_out", ["loss", "neg_ratio", "seed"])
def test_settings_that_name_no_objective_are_refused(left_out: str) -> None:
    settings = {"loss": {"name": "bce"}, "neg_ratio": 4, "seed": 1}
    split = random_split(6, 9)
    assert new_users.objective(settings, split).neg_ratio == 4
    del settings[left_out]
    with pytest.raises(DataError, match=f"found no '{left_out}'"):
        new_users.objective(settings, split)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"als", "neumf_pretrained", "multitask"}))
def test_every_model_recommends_to_new_users(name: str, runs: FinishedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ncf.load(runs[name])
    ids = run.split.item_ids
    lists = [ids[[5, 3, 70]].tolist(), ids[[3]].tolist(), ids[[9, 8, 9]].tolist()]
    frame, scores = run.recommend_for(lists, 4), run.score_for(lists)
    assert list(frame) == ["list", "rank", "item_id", "score"]
    assert frame["list"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    for number, own in enumerate(lists):
        mine = frame[frame["list"] == number + 1]
        free = scores[number].copy()
        free[run.indices("item", own)] = -np.inf
        assert mine["item_id"].tolist() == ids[top(torch.from_numpy(free)[None], 4)[1][0]].tolist()
        assert mine["rank"].tolist() == [1, 2, 3, 4]
    one = run.recommend_for([*lists[0][::-1], lists[0][0]], 4).drop(columns="list")  # another order, and one twice
    pd.testing.assert_frame_equal(one, frame[frame["list"] == 1].drop(columns="list"), check_exact=False, rtol=1e-4)
    assert len(run.recommend_for(lists[0], 1000)) == 80 - 3
    monkeypatch.setattr("ncf.runs.loaded_run._MEMORY_MB", 0.0001)
    pd.testing.assert_frame_equal(run.recommend_for(lists, 4), frame, check_exact=False, rtol=1e-4)


def test_als_takes_ratings(tmp_path: Path) -> None:
    rows = [(user, item) for user in range(20) for item in range(12) if (user + item) % 3]
    frame = pd.DataFrame(rows, columns=["user", "item"]).assign(rating=[1 + (u + i) % 5 for u, i in rows])
    run = ncf.fit("als", frame, folder=tmp_path, overrides=["data.threshold=null", "evaluation.cutoffs=[5,10]"])
    ids = run.split.item_ids[:3].tolist()
    likes, dislikes = run.score_for([ids, ids], [[5, 5, 5], [1, 1, 1]])
    assert likes.mean() > dislikes.mean()
    with pytest.raises(DataError, match=r"^fold_in: model ALS learns from ratings"):
        run.recommend_for(ids, 3)


def test_scores_that_are_not_finite_name_the_list(runs: FinishedRuns) -> None:
    run = ncf.load(runs["ease"])
    with torch.no_grad():
        run.model.get_buffer("weights")[7, 3] = torch.nan
    ids = run.split.item_ids
    with pytest.raises(ncf.errors.CheckpointError, match=r"expected finite scores, got nan for list 2; NaN or inf in"):
        run.recommend_for([[ids[1]], [ids[7]]], 3)


def trained_lists(run: LoadedRun) -> list[list[Any]]:
    split = run.split
    return [split.item_ids[split.train.items[split.train.users == user]].tolist() for user in range(split.num_users)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmf", "mf", "mlp", "neumf"])
def test_training_items_folded_in_rank_held_out_ones_nearly_as_the_trained_user_does(
    name: str, ml100k: Split, tmp_path: Path
) -> None:
    """MovieLens-100K, NDCG@10 on validation; popularity has 0.035, the rows that the fit starts with 0.033."""
    cfg = compose(f"model={name}", "trainer.epochs=40", "trainer.progress=false", "device=cpu")
    cfg.data.root = str(Path(__file__).parents[2] / "data")
    train(cfg, tmp_path)
    run = ncf.load(tmp_path, root=cfg.data.root)
    assert isinstance(run.model, GradientRecommender)
    own, folded_in = (
        ncf.evaluate(scores, run, part="valid", metrics=["ndcg"], cutoffs=[10])["ndcg@10"]
        for scores in (run.model, run.score_for(trained_lists(run)))
    )
    print(f"{name}: trained {own:.4f}, folded in {folded_in:.4f}")
    assert folded_in > 0.8 * own
    assert folded_in > 0.05


def test_rows_of_new_users_are_fitted_with_the_weights_of_their_items() -> None:
    split = random_split(6, 9)
    config = {"loss": {"name": "item_weighted_bce", "positive_weight": 2.0, "power": 0.5}, "neg_ratio": 4, "seed": 1}
    found = new_users.objective(config, split)
    assert found.frequencies is not None
    assert found.frequencies.shape == (9,)
    assert new_users.objective(config | {"loss": {"name": "bce"}}, split).frequencies is None
    model = build(partial(MF, factors=3), 6, 9, generator(1, "initialisation"))
    model.objective = found
    scores = model.fold_in(Histories(torch.tensor([0, 4, 8]), torch.tensor([1, 2])))
    assert scores.shape == (2, 9)
    assert scores.isfinite().all()
