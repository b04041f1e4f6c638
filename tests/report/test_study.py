"""What a study says of itself: arms, contrasts, which runs are there, and which table it cannot read."""

from pathlib import Path

import pandas as pd
import pytest
from made_up import presented, registration, runs, write

from ncf.errors import DataError
from ncf.report.staging import staged
from ncf.report.study import COMPANIONS, TABLES, UNFINISHED, NotRunError, Study, copy, load, of_arm


def test_the_arms_and_contrasts_are_those_registered(study: Study) -> None:
    assert list(study.main_arms) == ["bce", "alpha_bce", "focal"]  # the treatment last, though registered first
    assert study.contrasts == [("focal", "bce"), ("focal", "alpha_bce"), ("focal_balanced", "alpha_bce_balanced")]
    assert study.ratios == [4, 10, 50]
    assert [arm["gamma"] for arm in study.arms_of("gentle")] == [0.5, 1.0]
    assert study.arms_of("no such grid") == []


def test_nothing_is_missing_from_a_whole_study(study: Study) -> None:
    assert all(m.missing == 0 and m.seeds == () for m in study.missing)
    assert study.finished == (len(study.runs), len(study.runs))


def test_what_is_missing_is_named_by_grid_ratio_and_seed(tmp_path: Path) -> None:
    table = runs(registration())
    lost = (table["loss"] == "bce") & (table["neg_ratio"] == 10) & table["seed"].isin([42, 50])
    write(tmp_path, table[~lost], companions=False)
    study = load(tmp_path, registration())
    assert {(m.grid, m.ratio): m.seeds for m in study.missing if m.missing} == {("main", 10): (42, 50)}
    assert study.finished == (len(table) - 2, len(table))


def test_only_registered_seeds_count(tmp_path: Path) -> None:
    table = runs(registration())
    stray = table[(table["loss"] == "bce") & (table["neg_ratio"] == 4)].head(1)
    write(tmp_path, pd.concat([table, stray.assign(seed=1000, run="pilot")]), companions=False)
    study = load(tmp_path, registration())
    assert 1000 not in study.values(study.registration.arms["bce"], 4, study.primary).index
    assert 1000 not in study.runs_of(study.registration.arms["bce"], 4).index


def test_a_companion_that_is_not_there_is_named_with_what_makes_it(tmp_path: Path) -> None:
    write(tmp_path, runs(registration()), companions=False)
    with pytest.raises(NotRunError) as caught:
        load(tmp_path, registration()).companion("curves", "the epochs", "dynamics")
    assert (caught.value.missing, caught.value.made_by) == ("the epochs", "dynamics")


def test_commits_and_hashes_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    table = runs(registration()).assign(commit="12e4567890")
    write(tmp_path, table, companions=False)
    read = load(tmp_path, registration()).runs
    assert set(read["commit"]) == {"12e4567890"}
    assert read["config_hash"].tolist() == table["config_hash"].tolist()


def test_no_results_or_broken_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results\.csv: expected a row for each finished run"):
        load(tmp_path, registration())
    write(tmp_path, runs(registration()), companions=False)
    (tmp_path / COMPANIONS["curves"]).write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"curves\.csv\.gz: expected a table"):
        load(tmp_path, registration())


def test_of_arm_has_the_rows_of_an_arm_at_a_ratio(study: Study) -> None:
    arms = study.registration.arms
    rows = of_arm(study.runs, arms["focal_balanced"], 10)
    assert len(rows) == 10
    assert set(rows["loss"]) == {"focal"}
    assert rows["alpha"].tolist() == pytest.approx([10 / 11] * 10)
    assert of_arm(study.runs, {"loss": "bce", "lr": 0.1}, 10).empty
    assert of_arm(study.runs, arms["bce"], 7).empty
    assert study.by_seed({"a": arms["bce"], "b": arms["focal"]}, 50, "test/hit@10").shape == (6, 2)


def test_the_arms_that_tables_list_are_those_registered_and_the_grids_that_the_report_names(study: Study) -> None:
    assert study.all_arms == list(study.registration.arms.values())
    assert [arm["gamma"] for arm in presented(study, grids=["gentle"]).all_arms[5:]] == [0.5, 1.0]


def test_commands_are_those_of_the_registration(study: Study) -> None:
    assert (study.command("report"), study.command("runs"), study.command("gentle")) == ("python -m ncf.report", "", "")
    own = presented(study, commands={"runs": "make runs", "gentle": "make gentle", "report": "make report"})
    assert [own.command(name) for name in ("report", "runs", "gentle", "main")] == [
        "make report", "make runs", "make gentle", "make runs",
    ]  # fmt: skip


def test_tables_are_copied_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "a", runs(registration()))
    (tmp_path / "a" / UNFINISHED).write_text("run,state,reason\n")
    (tmp_path / "a" / "notes.txt").write_text("no table")
    (tmp_path / "b").mkdir()
    copy(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == {
        name: (tmp_path / "a" / name).read_bytes() for name in TABLES
    }


def test_a_companion_that_the_last_report_did_not_write_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, runs(registration()))
    with staged(tmp_path, keeps=[name for name in TABLES if name != "users.csv"]):
        pass
    assert (tmp_path / "users.csv").exists()
    assert [name for name, table in load(tmp_path, registration()).companions.items() if table.empty] == ["users"]


def test_folds_are_refused_since_nothing_registers_them(tmp_path: Path) -> None:
    table = runs(registration())
    write(tmp_path, table.assign(**{"split.fold": table["seed"] % 2}), companions=False)
    with pytest.raises(DataError, match="expected runs of one split, found several folds, which nothing registers"):
        load(tmp_path, registration())
