"""Against loops over pairs of users and items."""

import numpy as np
import pytest
import torch
from test_recommender_contract import SPLIT

from ncf.core.rng import generator
from ncf.models import MODELS, build, knn

CASES = [
    (kind, k, similarity, shrinkage)
    for kind in ("user_knn", "item_knn")
    for k in (1, 4, 100)
    for similarity in ("cosine", "pearson")
    for shrinkage in (0.0, 10.0)
]


def dense() -> np.ndarray:
    """(U, I) ones at the training positives."""
    matrix = np.zeros((SPLIT.num_users, SPLIT.num_items))
    matrix[SPLIT.train.users, SPLIT.train.items] = 1
    return matrix


def similarity_of(a: np.ndarray, b: np.ndarray, similarity: str, shrinkage: float) -> float:
    shared = float((a * b).sum())
    if similarity == "pearson":
        a, b = a - a.mean(), b - b.mean()
    below = np.sqrt((a * a).sum() * (b * b).sum())
    value = float((a * b).sum() / below) if below > 1e-12 else 0.0
    return value * (shared / (shared + shrinkage) if shrinkage else 1.0)


def reference(kind: str, k: int, similarity: str, shrinkage: float) -> np.ndarray:
    """(U, I) scores, neighbour by neighbour."""
    matrix = dense()
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
def test_scores_equal_brute_force(kind, k, similarity, shrinkage, chunk_bytes, monkeypatch):
    monkeypatch.setattr(knn, "_CHUNK_BYTES", chunk_bytes)
    model = MODELS[kind](12, 15, k=k, similarity=similarity, shrinkage=shrinkage)
    model.fit(SPLIT)
    scores = model.score(torch.arange(12)).numpy()
    np.testing.assert_allclose(scores, reference(kind, k, similarity, shrinkage), rtol=0, atol=1e-6)


def test_equal_similarities_keep_the_lower_index():
    block = np.array([[0.0, 0.5, 0.5, 0.5]])
    assert knn._nearest(block, 2)[0].tolist() == [[1, 2]]


def test_build_takes_the_components_settings(untouched):
    def make(users: int, items: int) -> torch.nn.Module:
        return knn.UserKNN(users, items, k=2, similarity="cosine", shrinkage=0.0)

    build(make, 12, 15, generator(0, "initialisation")).fit(SPLIT)
    assert untouched()
