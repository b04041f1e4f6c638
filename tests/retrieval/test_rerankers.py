"""Settings of re-ranking: what they default to, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from toys import random_split

from ncf.errors import ConfigError
from ncf.retrieval.rerankers import RERANKERS, Reranking, build, reranking


def test_defaults() -> None:
    assert reranking("mmr", None, None, None, 10) == Reranking("mmr", 0.7, "genre", 100)
    assert reranking("xquad", 0, None, None, 200) == Reranking("xquad", 0, None, 200)
    assert str(reranking("dpp", 0.25, "vectors", 50, 10)) == "rerank=dpp lambda=0.25 similarity=vectors candidates=50"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("best", None, None, None),
            r"^rerank: expected one of mmr, dpp, xquad, calibrated, popularity_cap, got 'best'$",
        ),
        (("mmr", 1.01, None, None), r"^lambda: expected a number from 0 .* to 1 .*, got 1.01$"),
        (("mmr", -0.1, None, None), r"^lambda: .* got -0.1$"),
        (("mmr", float("nan"), None, None), r"^lambda: .* got nan$"),
        (("mmr", None, "taste", None), r"^similarity: expected one of genre, vectors, co_occurrence, got 'taste'$"),
        (("xquad", None, "genre", None), r"^similarity: expected rerank=mmr or dpp, which compare items, got xquad$"),
        (("mmr", None, None, 9), r"^candidates: expected at least k=10, got 9$"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reranking(*arguments, 10)


@pytest.mark.parametrize("name", RERANKERS)
def test_each_is_made_from_the_data(name: str) -> None:
    split = replace(random_split(4, 6), genres=np.array(["A", "B", "A|B", "", "C", "A"]))
    assert build(reranking(name, 0.5, None, None, 3), split).weight == 0.5
