"""The table beside RecBole's runs, and its place in the first README."""

import pandas as pd
import pytest

from experiments.recbole import compare

OURS = pd.read_csv(compare.HERE / "results.csv")
README = (compare.ROOT / "README.md").read_text()


def test_the_readme_has_the_table_and_the_default_run() -> None:
    page = compare.put(compare.table(OURS), "recbole table", README)
    assert compare.put(compare.default_run(OURS), "default run", page) == README


def test_a_difference_is_in_its_standard_errors() -> None:
    theirs = compare.peer()
    made = theirs.rename(columns={metric: f"test/{metric}" for metric in compare.METRICS})
    assert compare.table(made).count("| +0.00 |") == 4
    shifted = made.assign(**{"test/ndcg@10": made["test/ndcg@10"] + 1})
    spread = theirs.loc[theirs["neg_ratio"] == 4, "ndcg@10"]
    assert f"| {1 / (spread.std() * (2 / 5) ** 0.5):+.2f} |" in compare.table(shifted)


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(AssertionError, match="no markers <!-- elsewhere: begin -->"):
        compare.put("text", "elsewhere", README)
