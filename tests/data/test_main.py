"""`python -m ncf.data`: figures on success; on anything the user can put right, one message and exit status 2."""

from pathlib import Path

import pytest
from data_helpers import Prepare, interactions_of, members, write_zip

from ncf.data.__main__ import main
from ncf.data.split import leave_one_out
from ncf.data.statistics import describe


def test_figures_by_hand() -> None:
    data = interactions_of([(0, 0, 1), (0, 1, 2), (0, 2, 2), (1, 0, 1), (1, 3, 5), (2, 1, 1)])
    figures = describe(data, leave_one_out(data, ties="file"))
    assert (figures["positives"], figures["users"], figures["items"]) == (6, 3, 4)
    assert (figures["density"], figures["imbalance"]) == (0.5, 1.0)
    assert (figures["tied last positives"], figures["users with one positive"]) == (1, 1)
    assert (figures["train"], figures["validation"], figures["test"]) == (3, 1, 2)
    assert figures["test items not in train"] == 2


def test_prepares_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    root = f"data.root={tmp_path / 'root'}"
    assert main(["data=ml-1m", f"data.archive={archive}", "data.sha256=null", root]) == 0
    printed = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert (printed["positives"], printed["users"], printed["users dropped"]) == ("4", "2", "1")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["data=ml-2m"], "Could not find 'data/ml-2m'"),
        (["data.treshold=3"], "Could not override 'data.treshold'"),
        (["+data.treshold=3"], "data.treshold: unknown key"),
        (["data.threshold=high"], "data.threshold: "),
        (["split.ties=random"], "split.ties: "),
        (["data=csv"], "data.archive: "),
        (["data=ml-1m", "data.archive=/nonexistent.zip"], "/nonexistent.zip: no such file or folder"),
        (["data=["], "at input"),
    ],
)
def test_errors_are_one_message_and_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    assert main([*arguments, f"data.root={tmp_path}"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert complaint in printed.err
    assert printed.err.count("\n") == 1


def test_a_set_without_timestamps_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prepare: Prepare
) -> None:
    (tmp_path / "x.csv").write_text("user_id,item_id\na,b\n")
    keys = ["data.rating=null", "data.timestamp=null", "data.threshold=null", f"data.root={tmp_path}"]
    assert main(["data=csv", f"data.archive={tmp_path / 'x.csv'}", *keys]) == 2
    assert "x: expected timestamps, found none" in capsys.readouterr().err
