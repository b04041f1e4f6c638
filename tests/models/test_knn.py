"""Against loops over pairs of users and items."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from toy_models import SPLIT, dense_positives

from ncf.core.rng import numpy_generator
from ncf.data.split import Pairs
from ncf.models import MODELS, knn
from ncf.models.knn import Similarity, UserKNN, neighbours, neighbours_of
from ncf.models.new_users import Histories
from ncf.models.non_gradient import positives_matrix

CASES = [
    (kind, k, similarity, shrinkage)
    for kind in ("user_knn", "item_knn")
    for k in (1, 4, 100)
    for similarity in ("cosine", "pearson")
    for shrinkage in (0.0, 10.0)
]


def similarity_of(a: np.ndarray, b: np.ndarray, similarity: str, shrinkage: float) -> float:
    shared = float((a * b).sum())
    if similarity == "pearson":
        a, b = a - a.mean(), b - b.mean()
    below = np.sqrt((a * a).sum() * (b * b).sum())
    value = float((a * b).sum() / below) if below > 1e-12 else 0.0
    return value * (shared / (shared + shrinkage) if shrinkage else 1.0)


def reference(kind: str, k: int, similarity: str, shrinkage: float) -> np.ndarray:
    """(U, I) scores, neighbour by neighbour."""
    matrix = dense_positives()
    vectors = matrix if kind == "user_knn" else matrix.T
    nearest = []
    for row, vector in enumerate(vectors):
        values = [similarity_of(vector, other, similarity, shrinkage) for other in vectors]
        others = sorted((r for r in range(len(vectors)) if r != row), key=lambda r: (-round(values[r], 9), r))
        nearest.append({r: values[r] for r in others[:k] if values[r] > 1e-12})
    scores = np.zeros(matrix.shape)
    for user, item in np.ndindex(matrix.shape):
        if kind == "user_knn":
            scores[user, item] = sum(s * matrix[other, item] for other, s in nearest[user].items())
        else:
            scores[user, item] = sum(s * matrix[user, other] for other, s in nearest[item].items())
    return scores


@pytest.mark.parametrize("chunk_bytes", [8, 2**26])
@pytest.mark.parametrize(("kind", "k", "similarity", "shrinkage"), CASES)
def test_scores_equal_brute_force(
    kind: str, k: int, similarity: str, shrinkage: float, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "_CHUNK_BYTES", chunk_bytes)
    more = {"decay": "positions", "half_life": None} if kind == "item_knn" else {}
    model = MODELS[kind](12, 15, k=k, similarity=similarity, shrinkage=shrinkage, **more)
    model.fit(SPLIT)
    scores = model.score(torch.arange(12)).numpy()
    np.testing.assert_allclose(scores, reference(kind, k, similarity, shrinkage), rtol=0, atol=1e-6)


def test_equal_similarities_keep_the_lower_index() -> None:
    block = np.array([[0.0, 0.5, 0.5, 0.5]])
    assert knn._nearest(block, 2)[0].tolist() == [[1, 2]]


@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("k", [1, 7, 30, 100])
def test_the_nearest_are_those_of_a_stable_sort(levels: int, k: int) -> None:
    """With one level all are tied, with three many at the cut; of a thousand hardly any."""
    block = numpy_generator(0, "synthetic").integers(0, levels, (20, 30)) / 7
    order = np.argsort(-block, axis=1, kind="stable")[:, :k]
    indices, values = knn._nearest(block, k)
    assert np.array_equal(indices, order)
    assert np.array_equal(values, np.take_along_axis(block, order, axis=1))


def test_similarities_by_hand() -> None:
    """Vectors of length 6 with 4, 2 and 3 ones; the first two share 2, the first and the last 1."""
    vectors = sparse.csr_matrix(np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1.0]]))
    indices, values = knn.neighbours(vectors, 2, "cosine", 0.0)
    assert indices[0].tolist() == [1, 2]
    assert values[0].tolist() == pytest.approx([2 / 8**0.5, 1 / 12**0.5])
    _, shrunk = knn.neighbours(vectors, 2, "cosine", 10.0)
    assert shrunk[0].tolist() == pytest.approx([2 / 8**0.5 * 2 / 12, 1 / 12**0.5 * 1 / 11])
    _, correlated = knn.neighbours(vectors, 2, "pearson", 0.0)
    expected = (2 - 4 * 2 / 6) / (4 * (1 - 4 / 6) * 2 * (1 - 2 / 6)) ** 0.5
    assert correlated[0].tolist() == pytest.approx([expected, 0.0])  # the last is below 0


def test_no_row_is_its_own_neighbour_and_there_are_no_more_neighbours_than_rows() -> None:
    vectors = sparse.csr_matrix(np.ones((3, 4)))
    indices, values = knn.neighbours(vectors, 100, "cosine", 0.0)
    assert indices.shape == values.shape == (3, 3)
    for row in range(3):
        assert dict(zip(indices[row].tolist(), values[row].tolist()))[row] == 0
        assert sorted(values[row].tolist()) == pytest.approx([0, 1, 1])


def listed(matrix: np.ndarray) -> Histories:
    rows, items = matrix.nonzero()
    return Histories(torch.from_numpy(items), torch.from_numpy(np.bincount(rows, minlength=len(matrix))))


@pytest.mark.parametrize("similarity", ["cosine", "pearson"])
@pytest.mark.parametrize("cells", [1, 2**26])
def test_a_new_user_is_scored_as_a_known_one_with_these_items(
    similarity: Similarity, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: user 5 in training, and folded in after a training without their items."""
    monkeypatch.setattr(knn, "_CHUNK_BYTES", cells)
    known, new = (UserKNN(12, 15, k=4, similarity=similarity, shrinkage=2.0) for _ in range(2))
    known.fit(SPLIT)
    others = SPLIT.train.users != 5
    new.fit(replace(SPLIT, train=Pairs(SPLIT.train.users[others], SPLIT.train.items[others])))
    folded_in = new.fold_in(listed(dense_positives()[[5, 5]]))
    assert torch.equal(folded_in, known.score(torch.tensor([5, 5])))


def test_a_user_with_the_same_items_is_the_nearest_of_a_new_one() -> None:
    matrix = positives_matrix(SPLIT.train, 12, 15)
    indices, values = neighbours_of(matrix, matrix.T.tocsr(), 3, "cosine", 0.0)
    assert np.allclose(values[:, 0], 1)
    own, similar = neighbours(matrix, 2, "cosine", 0.0)
    for user in range(12):
        others = indices[user] != user
        assert indices[user, others][:2].tolist() == own[user].tolist()
        assert np.array_equal(values[user, others][:2], similar[user])
