"""Features as vectors, against scikit-learn and by hand."""

import sys

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from ncf.data.feature_blocks import WORD, BlockWeights, block, unit_rows, vectors
from ncf.data.feature_files import Column
from ncf.errors import ConfigError, DataError

TEXTS = np.array(["Star Wars", "star of the east", "", "Wars, and wars 2", "Élan"])
GENRES = np.array(["War|Sci-Fi", "Drama", "", "War", "Drama|War"])
YEARS = np.array([1977.0, 1990.0, np.nan, 1978.0, 1930.0])
COLUMNS = [Column("title", "text", TEXTS), Column("genres", "category", GENRES), Column("year", "number", YEARS)]


def test_text_is_scikit_learns_tf_idf_and_its_products_are_its_cosines() -> None:
    stop = ["the", "of", "and"]
    expected = TfidfVectorizer(token_pattern=WORD, stop_words=stop).fit_transform(TEXTS)
    found = block(COLUMNS, "text", stop)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=0, atol=1e-12)
    np.testing.assert_allclose((found @ found.T).toarray(), cosine_similarity(expected), rtol=0, atol=1e-12)


def test_categories_weigh_by_how_rare_they_are() -> None:
    found = block(COLUMNS, "category").toarray()
    idf = {"War": np.log(6 / 4) + 1, "Sci-Fi": np.log(6 / 2) + 1, "Drama": np.log(6 / 3) + 1}
    first = np.array([idf["Sci-Fi"], idf["War"]]) / np.hypot(idf["Sci-Fi"], idf["War"])
    np.testing.assert_allclose(sorted(found[0][found[0] > 0]), sorted(first), atol=1e-12)
    assert not found[2].any()


def test_the_nearer_two_numbers_are_the_higher_their_cosine() -> None:
    found = block(COLUMNS, "number").toarray()
    cosines = found @ found.T
    np.testing.assert_allclose(np.diag(cosines), [1, 1, 0, 1, 1], atol=1e-12)
    assert cosines[0, 3] > cosines[0, 1] > cosines[0, 4] >= 0
    shifted = block([Column("x", "number", YEARS * 10 - 3)], "number").toarray()
    np.testing.assert_allclose(shifted, found, atol=1e-9)  # in whatever unit


def test_one_number_for_all_is_no_error() -> None:
    assert (block([Column("x", "number", np.array([3.0, 3.0]))], "number").toarray() @ np.ones(32) > 0).all()


def test_a_cosine_is_the_mean_of_the_blocks_cosines_by_their_squared_weights() -> None:
    whole = vectors(COLUMNS, BlockWeights(1.0, 2.0, 0.0), "toy").toarray()
    text, genres = (block(COLUMNS, kind).toarray() for kind in ("text", "category"))
    expected = (1 * text[0] @ text[3] + 4 * genres[0] @ genres[3]) / 5
    assert whole[0] @ whole[3] == pytest.approx(expected, abs=1e-12)
    scaled = vectors(COLUMNS, BlockWeights(0.5, 1.0, 0.0), "toy").toarray()
    np.testing.assert_allclose(whole, scaled, atol=1e-12)  # only ratios matter


def test_rows_of_zeros_stay() -> None:
    from scipy import sparse

    found = unit_rows(sparse.csr_matrix([[3.0, 4.0], [0.0, 0.0]])).toarray()
    assert found.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_what_is_missing_is_said() -> None:
    with pytest.raises(DataError, match=r"^toy: expected features of kind number, found title \(text\)$"):
        vectors(COLUMNS[:1], BlockWeights(0.0, 0.0, 1.0), "toy")
    with pytest.raises(DataError, match=r"^toy: expected features to weigh, found .* all 0$"):
        vectors(COLUMNS[:1], BlockWeights(0.0, 0.0, 0.0), "toy")
    with pytest.raises(DataError, match=r"^toy: expected a known value of kind text, found none in title \(text\)$"):
        vectors([Column("title", "text", np.array(["", "12"]))], BlockWeights(1.0, 0.0, 0.0), "toy")


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(ConfigError, match=r"^features: scikit-learn is not installed; pip install 'ncf\[content\]'"):
        block(COLUMNS, "text")


def test_numbers_as_far_apart_as_numbers_can_be_have_a_place() -> None:
    far = block([Column("x", "number", np.array([-1.7e308, 0.0, 1.7e308, np.nan]))], "number").toarray()
    near = block([Column("x", "number", np.array([-1.0, 0.0, 1.0, np.nan]))], "number").toarray()
    np.testing.assert_allclose(far, near, atol=1e-9)


@pytest.mark.parametrize("factor", [1e-300, 1e-170, 1e170, 1e300])
def test_only_ratios_of_weights_matter_however_small_they_are(factor: float) -> None:
    expected = vectors(COLUMNS, BlockWeights(1.0, 2.0, 0.0), "toy").toarray()
    found = vectors(COLUMNS, BlockWeights(factor, 2 * factor, 0.0), "toy").toarray()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_ends_of_a_range_are_the_first_and_the_last_bump() -> None:
    assert block([Column("x", "number", np.array([4.0, -1.0, 1.5]))], "number").toarray().argmax(1).tolist() == [
        31,
        0,
        15,
    ]
