"""`python -m ncf.compare`: what differs between finished runs, and whether their users tell them apart."""

import json
import re
import shutil
from pathlib import Path

import pytest
from finished_runs import FinishedRuns

from ncf import compare
from ncf.errors import ConfigError, DataError, NcfError
from ncf.runs.loading import finished


def test_it_shows_what_differs_and_tests_pairs(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["neumf"]), str(runs["seed7"]), str(runs["popularity"])])
    shown = capsys.readouterr().out
    assert "seed" in shown
    assert "loss.name" not in shown  # the same in all
    said = "difference from 1 over 60 users (Wilcoxon p, Holm over 1 run; not corrected over metrics)"
    assert said in shown  # the second has the first's settings: it is the baseline of its own seed
    assert "each test is of one seed's users, and says nothing of other seeds" in shown


def test_a_run_against_itself_shows_no_difference(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["ease"]), str(runs["ease"])])
    assert "+0.0000 (p 1)" in capsys.readouterr().out


def test_validation_positives_are_compared_when_asked(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["ease"]), str(runs["ials"]), "part=valid"])
    shown = capsys.readouterr().out
    assert f"{finished(runs['ials'])['valid']['ndcg@10']:.4f}" in shown
    assert "\nvalid" in shown


def test_runs_on_other_data_are_not_paired(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(runs["ease"]), str(runs["other data"])])
    found = f"no paired test: {runs['other data']}: expected the same data and split as {runs['ease']}"
    assert found in capsys.readouterr().out


def test_a_folder_without_a_run_is_named() -> None:
    with pytest.raises(DataError, match="expected a run folder, but nowhere does not exist"):
        compare.main(["nowhere"])


def test_options_may_stand_anywhere() -> None:
    assert compare.parser().parse(["a", "part=valid", "b"]).runs == [Path("a"), Path("b")]
    with pytest.raises(ConfigError, match=r"^part: expected one of .*, got 'train'"):
        compare.parser().parse(["a", "part=train"])


@pytest.fixture
def copied(runs: FinishedRuns, tmp_path: Path) -> Path:
    """A folder with copies of two runs, which a test may spoil."""
    for name in ("ease", "popularity"):
        shutil.copytree(runs[name], tmp_path / name)
    return tmp_path


def test_ranks_that_contradict_the_result_are_one_line_with_run_metric_and_both_values(copied: Path) -> None:
    path = copied / "popularity" / "ranks.csv"
    *lines, last = path.read_text().splitlines()
    part, user, item, _, candidates, _ = last.split(",")
    better = "1" if not last.startswith(f"{part},{user},{item},1,") else "2"
    path.write_text("\n".join([*lines, f"{part},{user},{item},{better},{candidates},1"]) + "\n")
    told = finished(copied / "popularity")["test"]
    with pytest.raises(DataError) as caught:
        compare.main([str(copied / "ease"), str(copied / "popularity")])
    said = str(caught.value)
    found = re.fullmatch(
        rf"{copied}/popularity: expected test/(\S+) (\S+), as in result\.json, but ranks\.csv gives (\S+); .*", said
    )
    assert found, said
    assert float(found[2]) == pytest.approx(told[found[1]])
    assert float(found[3]) != pytest.approx(told[found[1]], abs=1e-9)


@pytest.mark.parametrize("text", ["", "split\n", "split,user_id,item_id,rank,candidates,tied\ntest,1,2,5,3,1\n"])
def test_damaged_ranks_are_an_error_and_missing_ones_are_said(
    copied: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "popularity" / "ranks.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"popularity/ranks\.csv"):
        compare.main([str(copied / "ease"), str(copied / "popularity")])
    path.unlink()
    compare.main([str(copied / "ease"), str(copied / "popularity")])
    assert f"no paired test: {copied}/popularity: found no ranks.csv" in capsys.readouterr().out


def test_a_folder_of_runs_stands_for_its_runs(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([str(copied)])
    folder = capsys.readouterr().out
    compare.main([str(copied / "ease"), str(copied / "popularity")])
    assert capsys.readouterr().out == folder


def test_of_many_runs_each_has_a_line(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(6):
        shutil.copytree(copied / "ease", copied / f"z{n}")
    compare.main([str(copied)])
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert [block.splitlines()[-1].split()[0] for block in blocks] == ["8"] * 4
    assert blocks[2].splitlines()[0].split() == ["test", *finished(copied / "ease")["test"]]


def test_names_with_control_characters_are_escaped(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "ease").rename(copied / "ea\x1b[31mse\u202e")
    compare.main([str(copied)])
    shown = capsys.readouterr().out
    assert r"ea\x1b[31mse\u202e" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


@pytest.mark.parametrize("config", [{}, {"loss": 3}, {"evaluation": None}, {"model": {"name": ["x"]}, "seed": {}}])
def test_settings_that_are_none_are_one_line(copied: Path, config: dict[str, object]) -> None:
    path = copied / "popularity" / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"config": config}))
    with pytest.raises(NcfError):
        compare.main([str(copied / "ease"), str(copied / "popularity")])
