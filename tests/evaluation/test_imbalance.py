"""Precision, recall and F1 by user and item: scikit-learn, brute force, and what a wrong method gets wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor
from toys import compose, pairs, random_split

from ncf.data import Split, read_split
from ncf.errors import ConfigError, DataError, TrainingError
from ncf.evaluation import imbalance
from ncf.evaluation.imbalance import METRICS, AtLeast, Counts, HeldOut, TopN

USERS, ITEMS = 12, 20


def split_of(seed: int) -> Split:
    return random_split(USERS, ITEMS, seed, held_out=4)


def scores_of(seed: int, levels: int = 7) -> Tensor:
    """(U, I) with many ties."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (USERS, ITEMS)).astype(np.float32))


def scorer(scores: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda users: scores[users]


def dense(split: Split, *parts: str) -> np.ndarray:
    """(U, I) bool: the pairs of these parts."""
    matrix = np.zeros((USERS, ITEMS), bool)
    for part in parts:
        own = getattr(split, part)
        matrix[own.users, own.items] = True
    return matrix


def predicted_by_hand(scores: Tensor, seen: np.ndarray, n: int | None, threshold: float | None) -> np.ndarray:
    """(U, I) bool, by sorting each user's unseen items, or comparing each pair."""
    chosen = np.zeros((USERS, ITEMS), bool)
    for user in range(USERS):
        unseen = [item for item in range(ITEMS) if not seen[user, item]]
        if n is not None:
            unseen = sorted(unseen, key=lambda item: (-float(scores[user, item]), item))[:n]
        else:
            unseen = [item for item in unseen if scores[user, item] >= threshold]
        chosen[user, unseen] = True
    return chosen


@pytest.mark.parametrize("rule", [TopN(1), TopN(3), TopN(ITEMS), AtLeast(5.0), AtLeast(99.0)])
@pytest.mark.parametrize("seed", range(6))
def test_every_entity_has_the_precision_recall_and_f1_of_scikit_learn(seed: int, rule: imbalance.Rule) -> None:
    split, scores = split_of(seed), scores_of(seed)
    found = imbalance.count(scorer(scores), HeldOut(split, "test"), rule)
    n, threshold = getattr(rule, "n", None), getattr(rule, "threshold", None)
    chosen = predicted_by_hand(scores, dense(split, "train", "valid"), n, threshold)
    truth = dense(split, "test")
    for by, counts in found.items():
        # one label an entity: rows are the other side
        y, p = (truth.T, chosen.T) if by == "user" else (truth, chosen)
        expected = precision_recall_fscore_support(y, p, average=None, zero_division=0)
        for metric, values in zip(METRICS, expected[:3], strict=True):
            np.testing.assert_allclose(counts.values(metric), values, atol=1e-15, err_msg=f"{by} {metric}")
        micro = precision_recall_fscore_support(y, p, average="micro", zero_division=0)[:3]
        assert [counts.micro(metric) for metric in METRICS] == pytest.approx(micro)
        left = precision_recall_fscore_support(y, p, average=None, zero_division=np.nan)[0]
        np.testing.assert_array_equal(np.isnan(counts.values("precision", np.nan)), np.isnan(left))


def test_a_median_of_f1_is_not_the_f1_of_medians() -> None:
    """Entity by entity, then the median; what the two medians of precision and recall give is another number."""
    counts = Counts(np.array([1, 4, 0]), np.array([1, 16, 0]), np.array([10, 4, 5]))
    assert counts.precision().tolist() == [1, 0.25, 0]
    assert counts.recall().tolist() == [0.1, 1, 0]
    assert counts.f1().tolist() == pytest.approx([2 / 11, 8 / 20, 0])
    found = {metric: imbalance.summary(counts, metric) for metric in METRICS}
    assert found["f1"].median == pytest.approx(2 / 11)
    p, r = found["precision"].median, found["recall"].median
    wrong = 2 * p * r / (p + r)
    assert (p, r) == (0.25, 0.1)
    assert wrong == pytest.approx(1 / 7)
    assert abs(found["f1"].median - wrong) > 0.03


def test_undefined_precision_counts_as_zero_beside_its_number_and_the_means_without_it() -> None:
    counts = Counts(np.array([1, 0, 0]), np.array([2, 0, 4]), np.array([1, 3, 2]))
    found = imbalance.summary(counts, "precision")
    assert (found.entities, found.undefined, found.zeros) == (3, 1, pytest.approx(2 / 3))
    assert (found.mean, found.median) == (pytest.approx(1 / 6), 0)
    assert (found.mean_defined, found.median_defined) == (0.25, 0.25)
    assert found.micro == pytest.approx(1 / 6)
    recall = imbalance.summary(counts, "recall")
    assert (recall.undefined, recall.mean, recall.mean_defined) == (0, pytest.approx(1 / 3), pytest.approx(1 / 3))
    none = imbalance.summary(counts.of(np.array([1])), "precision")
    assert none.mean == 0
    assert np.isnan(none.mean_defined)


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_best_there_is(seed: int) -> None:
    """By trying every score of an unseen pair; ties go to the higher threshold."""
    split, scores = split_of(seed), scores_of(seed, levels=40)
    held_out = HeldOut(split, "valid")
    found = imbalance.best_threshold(scorer(scores), held_out)

    def f1(threshold: float) -> float:
        return imbalance.count(scorer(scores), held_out, AtLeast(threshold))["user"].micro("f1")

    candidates = sorted(set(scores.flatten().tolist()), reverse=True)
    assert found == max(candidates, key=f1)  # the first of several, that is the highest


def test_seen_pairs_are_never_predicted_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    split, scores = split_of(3), scores_of(3)
    held_out = HeldOut(split, "test")
    everything = imbalance.count(scorer(scores), held_out, AtLeast(-1.0))
    unseen = ~dense(split, "train", "valid")
    assert everything["user"].predicted.tolist() == unseen.sum(1).tolist()
    assert everything["item"].predicted.tolist() == unseen.sum(0).tolist()
    whole = imbalance.count(scorer(scores), held_out, TopN(3))
    monkeypatch.setattr(imbalance, "chunk_size", lambda items, memory: 5)
    for by, counts in imbalance.count(scorer(scores), held_out, TopN(3)).items():
        for column, expected in vars(whole[by]).items():
            np.testing.assert_array_equal(getattr(counts, column), expected)


def test_users_without_held_out_positives_predict_nothing() -> None:
    split = split_of(1)
    kept = split.test.users != 4
    fewer = replace(split, test=pairs(zip(split.test.users[kept], split.test.items[kept])))
    found = imbalance.count(scorer(scores_of(1)), HeldOut(fewer, "test"), TopN(3))["user"]
    assert (found.predicted[4], found.relevant[4]) == (0, 0)
    assert (np.delete(found.predicted, 4) == 3).all()


def test_a_third_of_the_interactions_not_of_the_entities() -> None:
    assert imbalance.tiers(np.array([1, 4, 1, 1, 3, 2])).tolist() == [0, 2, 0, 0, 1, 0]
    assert imbalance.tiers(np.array([2, 2, 2])).tolist() == [2, 1, 0]  # of equal ones the lower index comes first
    assert imbalance.tiers(np.array([0, 9, 0])).tolist() == [0, 0, 0]  # one with more than a third is no tier's own


def test_the_tiers_of_movielens_are_those_on_record() -> None:
    """83 popular items, 184 in the middle and 1,180 of the niche, of the default split=random."""
    split = read_split(compose("split=random", f"data.root={Path(__file__).parents[2] / 'data'}"))
    found = imbalance.tiers(np.bincount(split.train.items, minlength=split.num_items))
    assert np.bincount(found).tolist() == [1180, 184, 83]
    thirds = [np.isin(split.train.items, np.flatnonzero(found == tier)).mean() for tier in range(3)]
    assert thirds == pytest.approx([1 / 3] * 3, abs=0.005)


def test_what_cannot_be_measured_is_refused_in_one_line() -> None:
    split = split_of(0)
    one = random_split(USERS, ITEMS)
    with pytest.raises(DataError, match=r"^toy: expected users with several held-out positives, found at most 1 each"):
        HeldOut(one, "test")
    held_out = HeldOut(split, "valid")
    with pytest.raises(ConfigError, match=r"^threshold: expected one that a validation score .* at most 6, got 7$"):
        imbalance.refuse_unreached(scorer(scores_of(0)), held_out, 7.0)
    imbalance.refuse_unreached(scorer(scores_of(0)), held_out, 6.0)
    with pytest.raises(TrainingError, match=r"^score: expected no NaN, got one$"):
        imbalance.count(scorer(torch.full((USERS, ITEMS), torch.nan)), held_out, TopN(2))
    with pytest.raises(DataError, match=r"^rule=threshold: expected finite scores of .*, found none$"):
        imbalance.best_threshold(scorer(torch.full((USERS, ITEMS), -torch.inf)), held_out)
