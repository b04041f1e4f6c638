"""Similarities equal scikit-learn's cosines, in whatever form they are kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics.pairwise import cosine_similarity
from toys import random_split

from ncf.data.split import Split
from ncf.errors import ConfigError, DataError
from ncf.models.non_gradient import positives_matrix
from ncf.models.popularity import Popularity
from ncf.retrieval import similarity as subject


@pytest.fixture
def split() -> Split:
    names = np.array(["A", "A|B", "", "B|C", "C", "A", "A|B|C", "B"] * 2)
    return replace(random_split(12, 16), genres=names)


def whole(similarity: subject.Similarity, count: int) -> np.ndarray:
    """(I, I): what `among` says of one user to whom every item is a candidate."""
    near = similarity.among(torch.arange(count)[None])
    return np.stack([near(torch.tensor([item]))[0].numpy() for item in range(count)])


@pytest.mark.parametrize("large", [False, True])
def test_genres_are_weighed_as_scikit_learn_does(split: Split, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_LARGEST_TABLE", 0 if large else 99)
    found = subject.similarity_of("genre", split)
    assert isinstance(found, subject.Vectors if large else subject.Table)
    weighed = TfidfTransformer().fit_transform(subject.item_genres(split).numpy())
    np.testing.assert_allclose(whole(found, 16), cosine_similarity(weighed), atol=1e-6)


@pytest.mark.parametrize("large", [False, True])
def test_co_occurrence_is_the_cosine_of_columns(split: Split, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_LARGEST_TABLE", 0 if large else 99)
    found = subject.similarity_of("co_occurrence", split)
    assert isinstance(found, subject.Sparse if large else subject.Table)
    columns = positives_matrix(split.train, 12, 16).T
    np.testing.assert_allclose(whole(found, 16), cosine_similarity(columns), atol=1e-6)


def test_vectors_of_no_length_are_similar_to_none_and_those_that_are_not_finite_refused(split: Split) -> None:
    model = Popularity(12, 16)
    vectors = torch.randn(16, 3)
    vectors[2] = 0
    model.item_embeddings = lambda: vectors  # type: ignore[method-assign]
    table = whole(subject.similarity_of("vectors", split, model), 16)
    np.testing.assert_allclose(table, cosine_similarity(vectors.numpy()), atol=1e-6)
    assert not table[2].any()
    vectors[5] = torch.nan
    with pytest.raises(DataError, match=r"^similarity=vectors: expected finite item vectors, .* for item 1005$"):
        subject.similarity_of("vectors", split, model)


def test_what_is_not_there_is_one_line(split: Split) -> None:
    with pytest.raises(ConfigError, match=r"^similarity: expected one of genre, vectors, co_occurrence, got 'x'$"):
        subject.similarity_of("x", split)
    with pytest.raises(DataError, match=r"^similarity=vectors: model Popularity has no item vectors; "):
        subject.similarity_of("vectors", split, Popularity(12, 16))
