"""The page from made-up tables says what they show; the same tables give the same bytes."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from experiments.content import analysis, page
from experiments.content.arms import arms


def test_the_page_says_what_was_found(made_up: Callable[..., None], tmp_path: Path) -> None:
    made_up({"ease_recency": 0.12, "cease": 0.08, "chance": 0.05}, {"mmr": 0.2})
    users, results, variety = (pd.read_csv(tmp_path / f) for f in ("users.csv.gz", "results.csv", "variety.csv.gz"))
    compared, cost = analysis.comparisons(users, results), analysis.costs(variety)
    text = page.text(results, variety, compared, cost)
    assert f"- **Does recency help?** *better*: EASE, recency over EASE {compared[0].change}" in text
    assert "*worse*: EASE with content (CEASE) over EASE" in text
    assert "calibrated does not get there" in text
    assert "<!-- " not in text.split("\n", 1)[1]


@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes(made_up: Callable[..., None], tmp_path: Path) -> None:
    made_up()
    page.write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in before} >= {"README.md", "changes.svg", "variety.svg"}
    page.write(tmp_path)
    assert {path: path.read_bytes() for path in before} == before


def test_every_arm_and_re_ranker_has_a_title() -> None:
    assert set(page.TITLES) == set(arms())
    assert set(page.RERANKERS) == set(page.registered()["variety"]["rerankers"])
