"""What a study says of itself: arms, contrasts, which runs are there, and which table it cannot read."""

from pathlib import Path

import pandas as pd
import pytest
from made_up import registration, runs, write

from ncf.errors import DataError
from ncf.report.sentences import limits
from ncf.report.study import COMPANIONS, NotRunError, Study, contrast_name, load, stream


def test_the_arms_and_contrasts_are_those_registered(study: Study) -> None:
    assert list(study.main_arms) == ["bce", "alpha_bce", "focal"]
    assert study.contrasts == [("focal", "bce"), ("focal", "alpha_bce"), ("focal_balanced", "alpha_bce_balanced")]
    assert [contrast_name(study, *pair) for pair in study.contrasts] == [
        "focal vs BCE", "focal vs α-BCE", "focal vs α-BCE, balanced α",
    ]  # fmt: skip
    assert study.ratios == [4, 10, 50]
    assert [arm["gamma"] for arm in study.arms_of("clamped")] == [0.0, 2.0]
    assert len(study.arms_of("grid")) == 20
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


def test_a_companion_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    write(tmp_path, runs(registration()), companions=False)
    with pytest.raises(NotRunError) as caught:
        load(tmp_path, registration()).companion("curves", "the epochs", "make something")
    assert (caught.value.missing, caught.value.command) == ("the epochs", "make something")


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


def test_streams_are_addressed() -> None:
    draw = [stream(registration(), name).random() for name in ("a", "b", "a")]
    assert draw[0] == draw[2] != draw[1]


def test_runs_of_several_commits_are_counted_among_the_limits(tmp_path: Path) -> None:
    table = runs(registration())
    assert not any("commits" in line for line in limits(load_written(tmp_path / "one", table)))
    table.loc[:9, "commit"] = "1" * 40
    (line,) = (line for line in limits(load_written(tmp_path / "two", table)) if "commits" in line)
    assert f"2 commits ({len(table) - 10} at 000000000000, 10 at 111111111111)" in line


def load_written(folder: Path, table: pd.DataFrame) -> Study:
    write(folder, table, companions=False)
    return load(folder, registration())
