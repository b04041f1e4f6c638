"""The page of what variety costs."""

from pathlib import Path

import pandas as pd

from ncf.report.diversity_page import table, write


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
