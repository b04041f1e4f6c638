"""The command as an analyst types it: what it prints, what it refuses in one line."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from observed import drawn

from ncf import __main__ as entrance
from ncf import effect
from ncf.errors import NcfError

UNITS, TRUE = drawn(13, 600)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of units."""
    path = tmp_path_factory.mktemp("effect") / "x.csv"
    frame = pd.DataFrame({
        "t": UNITS.treatment, "y": UNITS.outcome, "a": UNITS.confounders[:, 0], "b": UNITS.confounders[:, 1], "e": TRUE,
        "id": np.arange(600), "word": "x", "same": 1.0, "twice": 2 * UNITS.confounders[:, 0], "g": np.arange(600) % 5,
        "city": np.tile(["Bonn", "Ulm", "Köln"], 200), "gap": [None, None, *range(598)], "dose": np.arange(600) % 3,
    })  # fmt: skip
    frame.to_csv(path, index=False)
    return path


def run(table: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints."""
    usual = {"treatment": "treatment=t", "outcome": "outcome=y", "confounders": "confounders=[a,b]"}
    effect.main([f"data={table}", *(usual | {a.partition("=")[0]: a for a in arguments}).values()])
    return capsys.readouterr().out


def test_overlap_and_balance_come_first(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(table, "estimator=all", capsys=capsys)
    heads = ["overlap", "balance: standardised mean difference", "balance: ratio of variances", "effect", "sensitivity"]
    places = [shown.index(f"{head}\n") for head in heads]
    assert places == sorted(places)
    assert "not adjusted" in shown
    assert all(name in shown for name in ("standardise", "ipw", "match", "aipw", "dml"))


def test_json_holds_everything_and_csv_the_estimates(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(table, "estimator=ipw,match", "format=json", capsys=capsys))
    assert list(found) == ["overlap", "balance", "estimates", "sensitivity", "rosenbaum", "warnings"]
    assert [e["estimator"] for e in found["estimates"]] == ["naive", "ipw", "match"]
    text = run(table, "estimator=ipw,match", "format=csv", capsys=capsys)
    rows = pd.read_csv(pd.io.common.StringIO(text))
    assert rows["value"].tolist() == [e["value"] for e in found["estimates"]]


def test_options_reach_the_estimators(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def value(*arguments: str) -> float:
        return float(json.loads(run(table, *arguments, "format=json", capsys=capsys))["estimates"][1]["value"])

    seen = {value(*a) for a in (
        ("estimator=match",), ("estimator=match", "neighbours=3"), ("estimator=match", "replace=no"),
        ("estimator=match", "caliper=0.01"), ("estimator=match", "caliper=0.1sd", "estimand=ATT"), ("estimator=ipw",),
        ("estimator=ipw", "normalised=no"), ("estimator=ipw", "scores=e"), ("estimator=ipw", "trim=0.3,0.6"),
        ("estimator=ipw", "trim=0.3,0.6", "refit=no"), ("estimator=ipw", "estimand=ATO"), ("estimator=dml",),
        ("estimator=dml", "form=interactive"), ("estimator=aipw", "folds=1"), ("estimator=aipw", "folds=3"),
        ("estimator=aipw", "seed=1"), ("estimator=aipw", "categories=city"),
    )}  # fmt: skip
    assert len(seen) == 17
    assert value("estimator=dml", "form=interactive") == value("estimator=aipw")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["treatment=tt"], "expected a column 'tt', found .* did you mean 't'"),
        (["treatment=dose"], "row 3: expected dose as 0 or 1, found 2"),
        (["outcome=word"], r"\.csv, row 1: expected word as a number, found 'x'"),
        (["confounders=[a,word]"], "row 1: expected word as a number"),
        (["confounders=[a,same]"], "same: expected a confounder that varies, found 1 in all rows; drop it"),
        (["confounders=[a,twice]"], "twice: .* linear combination of a; drop one"),
        (["confounders=[a,gap]"], "expected no missing values, found 2 of gap in 600 rows"),
        (["confounders=[]"], "confounders: expected at least one column"),
        (["confounders=[a,y]"], "y: expected each column in one role"),
        (["unit=g"], "row 6: expected each g once, found 0 again"),
        (["estimator=ols"], "estimator: expected one of"),
        (["estimand=LATE"], "estimand: expected one of .*, got 'LATE'"),
        (["trim=0.1"], "trim: expected two bounds"),
        (["caliper=wide"], "caliper: expected a number"),
        (["replace=maybe"], "expected yes or no, got 'maybe'"),
        (["folds=1", "estimator=dml"], "folds: expected at least 2 for dml"),
        (["scores=t", "estimator=ipw"], "scores: expected probabilities between 0 and 1"),
        (["trim=0.7,0.9", "estimator=ipw"], "trim: expected units of both arms|no overlap"),
        (["confunders=[a]"], r"confunders: unknown option, .* \(did you mean confounders\?\)"),
        (["level=95"], "level: expected a number in"),
    ],
)
def test_refusals(table: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NcfError, match=message) as caught:
        run(table, *arguments, capsys=capsys)
    assert "\n" not in str(caught.value)


def test_the_page_is_one_file(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(table, "estimator=match,dml", f"page={tmp_path / 'p.html'}", capsys=capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["p.html"]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # an earlier test has imported it
def test_an_error_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["treatment=t", "outcome=y", "confounders=a"]
    monkeypatch.setattr(sys, "argv", ["ncf", "effect", f"data={tmp_path / 'no.csv'}", *columns])
    with pytest.raises(SystemExit) as ended:
        entrance.main()
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"error: data: no such file: {tmp_path / 'no.csv'}\n")


@pytest.mark.parametrize("name", ["x.csv", "page", "pipe.html", "folder.html"])
def test_a_page_takes_the_place_of_no_data_pipe_or_folder(
    table: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.html")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "x.csv").write_text("the user's own")
    with pytest.raises(NcfError, match="page: expected a file"):
        run(table, f"page={tmp_path / name}", capsys=capsys)
    assert (tmp_path / "x.csv").read_text() == "the user's own"
    assert (tmp_path / "pipe.html").is_fifo()
