"""The page of what variety costs."""

from pathlib import Path

import pandas as pd

from ncf.report.diversity_page import table, trade_off, write


def test_the_page_has_a_figure_and_a_row_for_each_lambda(tmp_path: Path) -> None:
    found = pd.DataFrame(
        {
            "rerank": ["none", "mmr", "mmr"], "similarity": ["", "genre", "genre"], "lambda": [1.0, 0.7, 0.1],
            "candidates": [10, 100, 100], "ndcg": [0.0751, 0.0745, 0.055],
            "similarity by co_occurrence": [0.34, 0.33, 0.2], "ndcg change": [0.0, -0.0006, -0.02],
            "error of the change": [0.0, 0.002, 0.003],
        }
    )  # fmt: skip
    write(found, tmp_path / "page.html", "What <variety> costs")
    page = (tmp_path / "page.html").read_text()
    assert "What &lt;variety&gt; costs" in page
    assert page.count("<svg role=") == 1
    assert page.count("<tr>") == 4
    assert [row[6] for row in table(found).rows] == ["0.0000", "-0.0006", "-0.0200"]
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def _found(rerank: str, **columns: list[float]) -> pd.DataFrame:
    first = {"rerank": ["none", rerank, rerank, rerank], "similarity": "", "lambda": [1.0, 1.0, 0.95, 0.1]}
    rest = {"ndcg change": [0.0, 0.0, 0.0, -0.02], "error of the change": [0.0, 0.0, 0.001, 0.003]}
    return pd.DataFrame(first | {"candidates": [5, 100, 100, 100], "ndcg": [0.07, 0.07, 0.0701, 0.05]} | columns | rest)


def test_the_figure_names_the_cut_off_and_labels_points_where_there_is_room() -> None:
    figure = trade_off(_found("mmr", **{"similarity by co_occurrence": [0.34, 0.34, 0.339, 0.2]}))
    assert figure.axes[0].get_ylabel() == "NDCG@5"
    assert figure.axes[0].get_xlabel() == "mean similarity by co-occurrence in a list"
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "0.1"]


def test_the_figure_shows_what_the_re_ranker_lowers() -> None:
    known = {
        "similarity by genre": [0.3, 0.3, 0.3, 0.2],
        "miscalibration": [0.7, 0.7, 0.6, 0.1],
        "popularity": 4 * [9.0],
    }
    for rerank, expected in (("mmr", "similarity by genre"), ("calibrated", "miscalibration"),
                             ("popularity_cap", "popularity")):  # fmt: skip
        assert trade_off(_found(rerank, **known)).axes[0].get_xlabel() == f"mean {expected} in a list"


def test_a_lambda_is_written_as_it_was_asked_for() -> None:
    shown = table(_found("mmr"))
    assert shown.title == "Metrics of lists of 5, means over users"
    assert [row[2] for row in shown.rows] == ["1", "1", "0.95", "0.1"]
