"""A loaded run answers as it ranked."""

import numpy as np
import pandas as pd
import pytest

import ncf
from ncf.errors import ConfigError, DataError
from ncf.runs.ranks_file import read_ranks


@pytest.fixture(scope="module")
def neumf(runs):
    return ncf.load(runs["neumf"])


@pytest.mark.parametrize("name", ["neumf", "ease", "popularity", "ials"])
def test_a_loaded_run_ranks_as_it_did(runs, name):
    loaded = ncf.load(runs[name])
    kept = read_ranks(runs[name], "test")
    scores = loaded.score(kept["user_id"])
    split = loaded.split
    for row, (rank, item) in enumerate(zip(kept["rank"], kept["item_id"], strict=True)):
        user = loaded.indices("user", [kept["user_id"].iloc[row]])[0]
        seen = np.concatenate([p.items[p.users == user] for p in (split.train, split.valid)])
        others = np.delete(scores[row], seen)
        positive = scores[row, loaded.indices("item", [item])[0]]
        assert (others > positive).sum() + ((others == positive).sum() + 1) / 2 == rank


def test_recommendations_are_the_best_unseen_items(neumf):
    users = neumf.split.user_ids[[3, 0, 59]].tolist()
    frame = neumf.recommend(users, 5)
    scores = neumf.score(users)
    for row, user in enumerate(users):
        mine = frame[frame["user_id"] == user]
        index = neumf.indices("user", [user])[0]
        split = neumf.split
        for part in (split.train, split.valid, split.test):
            scores[row, part.items[part.users == index]] = -np.inf
        best = split.item_ids[np.argsort(-scores[row], kind="stable")[:5]]
        assert mine["item_id"].tolist() == best.tolist()
        assert mine["rank"].tolist() == [1, 2, 3, 4, 5]
        assert mine["score"].is_monotonic_decreasing


def test_a_user_who_has_nearly_everything_gets_the_rest(neumf):
    user = neumf.split.user_ids[0]
    left = 80 - neumf.seen[0].nnz
    assert len(neumf.recommend([user], 1000)) == left
    assert len(neumf.recommend([], 3)) == 0


def test_chunks_change_nothing(neumf, monkeypatch):
    users = neumf.split.user_ids.tolist()
    whole = neumf.recommend(users, 3)
    monkeypatch.setattr("ncf.runs.loaded_run._MEMORY_MB", 0.001)
    told = []
    pd.testing.assert_frame_equal(neumf.recommend(users, 3, told.append), whole)
    assert sum(told) == 60
    assert len(told) == 60


def test_history_is_newest_first(neumf):
    split = neumf.split
    recent = neumf.history(split.user_ids[5], 3)
    assert recent["item_id"][0] == split.item_ids[split.test.items[split.test.users == 5][0]]
    assert recent["item_id"][1] == split.item_ids[split.valid.items[split.valid.users == 5][0]]
    assert recent["item_id"][2] == split.item_ids[split.train.items[split.train.users == 5][-1]]


def test_items_like_are_the_nearest_vectors(runs):
    loaded = ncf.load(runs["ials"])
    vectors = loaded.model.items.weight.detach().numpy().astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-(vectors @ vectors[4]), kind="stable")
    nearest = nearest[nearest != 4][:3]
    assert loaded.items_like(loaded.split.item_ids[4], 3)["item_id"].tolist() == loaded.split.item_ids[nearest].tolist()


def test_unknown_ids_name_close_ones(neumf):
    with pytest.raises(DataError, match=r"user: expected an id among the 60 users .* got 100; similar ids: .*10"):
        neumf.score([100])
    with pytest.raises(DataError, match=r"item: expected an id among the .* got 'x'"):
        neumf.score([0], ["x"])
    with pytest.raises(DataError, match=r"got 1\.5"):
        neumf.recommend([1.5], 3)
    assert neumf.score([5]).tolist() == neumf.score(["5"]).tolist()


@pytest.mark.parametrize("name", ["neumf", "ease", "popularity"])
def test_a_table_that_leaves_out_training_positives_alone_gets_the_metrics_of_the_run(runs, name):
    loaded = ncf.load(runs[name])
    table = loaded.recommend(loaded.split.user_ids.tolist(), 1000, leave_out="train")
    assert ncf.evaluate(table, loaded) == pytest.approx(loaded.result["test"])
    assert len(table) == 60 * 80 - len(loaded.split.train)


def test_what_is_left_out_is_all_or_train(neumf):
    with pytest.raises(ConfigError, match=r"^leave_out: expected all or train, got 'none'$"):
        neumf.recommend([1], 3, leave_out="none")
    pd.testing.assert_frame_equal(neumf.recommend([1, 2], 3), neumf.recommend([1, 2], 3, leave_out="all"))


@pytest.mark.parametrize("k", [0, -1, 2.5, None])
@pytest.mark.parametrize("name", ["neumf", "popularity"])
def test_how_many_is_a_whole_number_of_at_least_one(runs, name, k):
    loaded = ncf.load(runs[name])
    calls = [
        lambda: loaded.recommend([1], k),
        lambda: loaded.recommend([], k),
        lambda: loaded.recommend_for([1, 2], k),
        lambda: loaded.items_like(1, k),
        lambda: loaded.history(1, k),
        lambda: loaded.histories([1, 2], k),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=rf"^(k|limit): expected a whole number of at least 1, got {k}$"):
            call()


def test_more_than_there_is_is_all(neumf):
    for most in (10**6, 10**30, np.int64(10**6)):
        assert len(neumf.recommend([1], most)) == 80 - neumf.seen[neumf.indices("user", [1])[0]].nnz
        assert len(neumf.history(1, most)) == neumf.seen[neumf.indices("user", [1])[0]].nnz
