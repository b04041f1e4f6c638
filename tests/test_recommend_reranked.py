"""`python -m ncf.recommend rerank=... retrieval=...`: lists chosen from candidates, and mistakes by their option."""

import json
from io import StringIO

import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf import recommend
from ncf.errors import ConfigError, DataError


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> pd.DataFrame:
    recommend.main([*arguments, "format=csv"])
    return pd.read_csv(StringIO(capsys.readouterr().out))


def test_lambda_1_is_the_plain_list_and_less_is_another(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    plain = ["user=all", "k=5", f"run={runs['mf']}"]
    expected = shown(plain, capsys)
    same = shown([*plain, "rerank=mmr", "lambda=1", "similarity=vectors"], capsys)
    pd.testing.assert_frame_equal(same.drop(columns="place"), expected)
    other = shown([*plain, "rerank=mmr", "lambda=.1", "similarity=co_occurrence"], capsys)
    assert other["item_id"].tolist() != expected["item_id"].tolist()
    recommend.main([*plain[1:], "user=7", "rerank=dpp", "similarity=vectors", "format=json"])
    assert set(json.loads(capsys.readouterr().out)["items"][0]) == {"rank", "item_id", "score", "place"}


def test_the_recall_of_an_index_is_always_shown(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faiss")
    for more, k in ((["k=5"], 5), (["k=5", "rerank=popularity_cap", "candidates=20"], 20)):
        recommend.main([f"run={runs['gmf']}", "user=7", "retrieval=faiss_ivf", *more])
        assert f"retrieval=faiss_ivf: recall@{k} of " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user=7", "rerank=mmr", "lambda=1.1"], r"^lambda: expected a number from 0 .* got 1.1$"),
        (["user=7", "rerank=mmr", "lambda=x"], r"^lambda: expected a number, got 'x' "),
        (["user=7", "lambda=.5"], "^lambda: expected rerank=, which it belongs to, found none$"),
        (["user=7", "rerank=best"], "^rerank: expected one of mmr, .* got 'best'$"),
        (["user=7", "rerank=mmr", "k=5", "candidates=4"], "^candidates: expected at least k=5, got 4$"),
        (["items=4", "rerank=mmr"], "^rerank: expected user= alone, whose items are ranked, found none$"),
        (["items_like=4", "retrieval=faiss_ivf"], "^retrieval: expected user= alone, "),
        (["user=7", "temperature=1", "rerank=mmr"], "^rerank: .* found temperature, which draws items$"),
        (["user=7", "retrieval=annoy"], "^retrieval: expected one of .*exact.*, got 'annoy' "),
    ],
)
def test_bad_options_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recommend.main(["run=x", *arguments])


def test_data_without_genres_is_named(runs: FinishedRuns) -> None:
    with pytest.raises(DataError, match="expected genres of items, found none"):
        recommend.main([f"run={runs['ease']}", "user=7", "rerank=xquad"])
