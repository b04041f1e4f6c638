"""The command on files of one's own, and the one call from Python behind it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from panels import castle_frame

from ncf import rollout as command
from ncf.errors import ConfigError, DataError, NcfError
from ncf.stats.checks import StatisticsError

COLUMNS = ["unit=sid", "time=year", "treated=post", "outcome=l_homicide"]


@pytest.fixture(scope="module")
def castle_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("castle") / "castle.csv"
    castle_frame().to_csv(path, index=False)
    return path


def test_every_form_says_the_same(castle_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([f"data={castle_file}", *COLUMNS, "format=json", "draws=99"])
    found = json.loads(capsys.readouterr().out)
    values = {row["estimator"]: row["value"] for row in found["estimates"]}
    assert values["twfe"] == pytest.approx(0.0693984, abs=1e-7)
    assert sum(part["weight"] * part["estimate"] for part in found["decomposition"]["comparisons"]) == pytest.approx(
        values["twfe"], abs=1e-9
    )
    assert found["panel"]["cohorts"] == 5
    command.main([f"data={castle_file}", *COLUMNS, "format=csv", "draws=99"])
    assert f"{values['imputation']}" in capsys.readouterr().out
    command.main([f"data={castle_file}", *COLUMNS, "draws=99"])
    text = capsys.readouterr().out
    assert f"{values['group_time']:.5g}" in text
    assert "warning: 2.4% of the weight of two-way fixed effects holds units against others" in text


def test_weights_leave_what_they_allow(castle_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([f"data={castle_file}", *COLUMNS, "weights=popwt", "format=json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["estimator"] for row in found["estimates"]] == ["twfe", "imputation"]
    assert found["decomposition"] is None
    assert any("group_time is left out" in note for note in found["warnings"])


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ({}, ["unit=state"], DataError, "expected a column 'state'"),
        ({"l_homicide": "x"}, [], DataError, "expected l_homicide as a number"),
        ({"l_homicide": None}, [], DataError, "550 of l_homicide"),
        ({"post": 0}, [], DataError, "expected post of 0 and of 1"),
        ({"year": 2000}, [], DataError, "two units and two periods"),
        ({}, ["estimators=ols"], StatisticsError, "estimators"),
        ({}, ["estimators=[]"], ConfigError, "estimators"),
        ({}, ["control=all"], ConfigError, "control"),
        ({}, ["level=2"], StatisticsError, "level"),
        ({}, ["draws=1"], StatisticsError, "draws"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    change: dict[str, object], arguments: list[str], error: type, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "panel.csv"
    castle_frame().assign(**change).to_csv(path, index=False)
    with pytest.raises(error, match=message):
        command.main([f"data={path}", *COLUMNS, *arguments])


def test_duplicated_rows_name_unit_and_period(tmp_path: Path) -> None:
    frame = castle_frame()
    path = tmp_path / "panel.csv"
    pd.concat([frame, frame.iloc[:1]]).to_csv(path, index=False)
    with pytest.raises(DataError, match="row 551: expected each sid once a year, found 1 in 2000 again"):
        command.main([f"data={path}", *COLUMNS])


def test_a_page_takes_the_place_of_no_data(castle_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = castle_file.read_bytes()
    with pytest.raises(NcfError, match=r"page: expected a file that ends in \.html"):
        command.main([f"data={castle_file}", *COLUMNS, f"page={castle_file}"])
    assert castle_file.read_bytes() == before
