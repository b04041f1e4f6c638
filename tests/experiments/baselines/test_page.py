"""The page is what its tables say."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from experiments.baselines import __main__, figures, halving, order, page
from experiments.baselines.arms import ARMS, HERE, RETUNED, TRAINED
from ncf.errors import DataError
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
        save(figures.against_neumf(study.results, study.compared, study.reference), tmp_path, "again")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "figures/differences.svg").read_bytes()


def test_the_page_says_who_wins_whoever_does(study: page.Study) -> None:
    results, compared = study.results.copy(), study.compared.copy()
    results.loc[results["arm"] == study.reference, "test/ndcg@10"] = 1.0
    compared[["difference", "p_both"]] = -0.9, 0.01
    won = page.verdict(page.Study(**vars(study) | {"results": results, "compared": compared}))
    assert won.startswith("**Yes. NeuMF, BCE")
    assert "ranks best**, with a test NDCG@10 of 1.0000" in won
    assert "number 1 of 14" in won
    lost = page.verdict(page.Study(**vars(study) | {"compared": compared.assign(difference=0.9)}))
    assert lost.startswith("**No. EASE ranks best**")
    unknown = page.verdict(page.Study(**vars(study) | {"compared": compared.assign(p_both=0.06)}))
    assert unknown.startswith("**That is not shown, nor the opposite. EASE ranks best**")


def test_the_comparisons_follow_from_the_results_and_ranks_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("results.csv", "ranks.csv.gz"):
        (tmp_path / name).write_bytes((HERE / name).read_bytes())
    monkeypatch.setattr(__main__, "HERE", tmp_path)
    __main__.compare_all()
    for name in ("intervals.csv", "comparisons.csv"):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


def test_a_row_from_a_tree_that_was_not_clean_is_counted(study: page.Study) -> None:
    assert page.commits(study).endswith("all from clean trees.")
    results = study.results.assign(commit=["a" * 40 + "-dirty"] + ["b" * 40] * (len(study.results) - 1))
    said = page.commits(page.Study(**vars(study) | {"results": results}))
    assert said.endswith("1 of them from a tree with changes that were not committed.")


def test_the_page_says_what_each_draw_of_halving_came_to(study: page.Study) -> None:
    """From the rows alone: the value of what was chosen is the largest, and is the one in tuning.csv."""
    values = study.tuning.set_index("arm")["value"]
    table = page.halved()
    kept = 0
    for name in halving.rules()["earlier"]:
        rows = pd.read_csv(HERE / "tuning" / name / "block-00.csv")
        means = rows[rows["stage"] == "refit"].groupby("draw")["valid_ndcg"].mean()
        assert values[name] == pytest.approx(means.max(), rel=1e-5)
        title = next(arm.title for arm in (*ARMS.values(), *RETUNED.values()) if arm.name == name)
        row = next(row for row in table.rows if row[0] == title)
        assert row[1:3] == [", ".join(f"{mean:.4f}" for mean in means[:5]), f"{means[5]:.4f}"]
        assert row[3] == ("the earlier" if means.idxmax() == 5 else "the best draw's")
        kept += means.idxmax() == 5
    assert f"For {kept} of {len(table.rows)} models no draw of halving reached" in table.note


@pytest.mark.parametrize("name", sorted(page.companions()))
def test_a_damaged_table_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    for path in HERE.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / f"{name}.csv"
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    damaged = [None, "", text[: len(text) // 2], text + lines[-1], "".join(lines[1:])]
    if name not in ("tuning", "results"):
        damaged.append(text.replace(",0.", ",7.", 1))
    for content in damaged:
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(DataError, match=rf"{name}\.csv: expected") as raised:
            page.read(tmp_path)
        assert "\n" not in str(raised.value)
        path.touch()


def test_nothing_of_a_user_or_a_rating_is_kept() -> None:
    for path in HERE.glob("*.csv*"):
        assert not {"user_id", "item_id", "rank", "rating"} & set(pd.read_csv(path).columns)


def test_the_settings_that_the_page_names_are_those_of_the_arms() -> None:
    text = " ".join((HERE / "page.md").read_text().split())
    ratio, epochs, patience = (line.partition("=")[2] for line in TRAINED)
    for said in (f"draw {ratio} negatives", f"stop after {patience} epochs", f"and after {epochs} at the latest"):
        assert said in text
    seeds = {arm.seeds for arm in ARMS.values() if len(arm.seeds) > 1}
    assert [f"seeds {own[0]} to {own[-1]}" in text for own in seeds] == [True]
    published = {arm.seeds for arm in RETUNED.values() if len(arm.seeds) > 1}
    assert [f"seeds {own[0]} to {own[-1]}" in text for own in published] == [True]
    assert f"p below {page.LEVEL}" in text
