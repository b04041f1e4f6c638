"""`python -m ncf.beyond rerank=...`: the re-ranked lists beside the plain ones, and the page over lambda."""

from pathlib import Path

import pytest
from finished_runs import FinishedRuns

from ncf import beyond
from ncf.errors import ConfigError


def test_both_lists_are_shown(runs: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    options = ["rerank=mmr", "similarity=co_occurrence", "lambda=0.3", f"page={page}"]
    beyond.main([f"run={runs['ease']}", "k=5", *options])
    title, table = capsys.readouterr().out.strip().split("\n\n")
    assert title == "rerank=mmr lambda=0.3 similarity=co_occurrence candidates=100"
    rows = {line.split("@5")[0]: line.split()[-2:] for line in table.splitlines()[1:]}
    assert float(rows["similarity by co_occurrence"][1]) < float(rows["similarity by co_occurrence"][0])
    assert rows["ndcg change"][0] == "0.0000"
    assert page.read_text().count("<tr>") == 14  # the header, plain lists, and twelve lambdas


def test_bad_options_are_named(runs: FinishedRuns) -> None:
    for arguments, message in (
        (["page=x.html"], "^page: expected rerank=, whose trade-off it shows, found none$"),
        (["lambda=.5"], "^lambda: expected rerank="),
        (["rerank=mmr", "lambda=-1"], "^lambda: expected a number from 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            beyond.main(["run=x", *arguments])
    with pytest.raises(ConfigError, match=r"^k: expected at most 80, the number of items, got 81$"):
        beyond.main([f"run={runs['ease']}", "k=81", "rerank=mmr"])
