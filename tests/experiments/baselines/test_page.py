"""The page is what its tables say."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from experiments.baselines import figures, order, page
from experiments.baselines.arms import HERE, REFERENCE
from ncf.report.kit.style import RC, save


@pytest.fixture(scope="module")
def study() -> page.Study:
    return page.read()


def test_pairs_are_the_differences_of_the_means(study: page.Study) -> None:
    assert (study.pairs.groupby(list(order.FAMILY)).size() == 21).all()
    values = study.published.set_index(["settings", "ranking", "arm"])
    for row in study.pairs.to_dict("records"):
        winner, loser = (values.loc[(row["settings"], row["ranking"], row[side])] for side in ("winner", "loser"))
        assert row["difference"] == pytest.approx(winner[row["metric"]] - loser[row["metric"]], abs=2e-6)


def test_the_page_is_what_the_tables_say(study: page.Study, tmp_path: Path) -> None:
    page.write(study, tmp_path)
    assert (tmp_path / "README.md").read_text() == (HERE / "README.md").read_text()
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {path.name for path in (HERE / "figures").iterdir()}
    with mpl.rc_context(RC):
        save(figures.against_neumf(study.results, study.compared), tmp_path, "again")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "figures/differences.svg").read_bytes()


def test_the_page_says_who_wins_whoever_does(study: page.Study) -> None:
    results = study.results.copy()
    results.loc[results["arm"] == REFERENCE, "test/ndcg@10"] = 1.0
    won = page.verdict(page.Study(**vars(study) | {"results": results}))
    assert won.startswith("**Yes. NeuMF, BCE ranks best**, with a test NDCG@10 of 1.0000")
    assert "number 1 of 13" in won


def test_nothing_of_a_user_or_a_rating_is_kept() -> None:
    for path in HERE.glob("*.csv"):
        assert not {"user_id", "item_id", "rank", "rating"} & set(pd.read_csv(path).columns)
