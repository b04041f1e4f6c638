"""`python -m ncf.data`: figures on success; anything that the user can put right is an error of one line."""

from pathlib import Path

import pytest
from data_helpers import members, write_zip

from ncf.core.compose import compose
from ncf.core.config import plain
from ncf.data.__main__ import main, report
from ncf.errors import ConfigError, DataError, NcfError

DROPPED = "users dropped (no positive, or fewer than data.min_user_positives)"


def test_the_set_is_prepared_and_its_figures_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    arguments = ["data=ml-1m", f"data.archive={archive}", "data.sha256=null", f"data.root={tmp_path / 'root'}"]
    main(arguments)
    head, *lines = capsys.readouterr().out.splitlines()
    assert [head, *lines] == report(arguments).splitlines()
    assert head.startswith("ml-1m  digest ")
    printed = dict(line.rsplit(maxsplit=1) for line in lines)
    assert tuple(printed[name] for name in ("positives", "users with positives", DROPPED)) == ("4", "2", "1")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["data=ml-2m"], "data: expected one of csv, ml-100k, ml-10m, ml-1m, "),
        (["data.treshold=3"], "did you mean data.threshold?"),
        (["+data.treshold=3"], "data.treshold: unknown key"),
        (["data.threshold=high"], "data.threshold: "),
        (["split.ties=random"], "split.ties: "),
        (["data=csv"], "data.archive: "),
        (["data=ml-1m", "data.archive=/nonexistent.zip"], "/nonexistent.zip: no such file or folder"),
        (["data=["], "at input"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(NcfError) as caught:
        main([*arguments, f"data.root={tmp_path}"])
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_set_without_timestamps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user_id,item_id\na,b\n")
    keys = ["data.rating=null", "data.timestamp=null", f"data.root={tmp_path}"]
    keys += ["data=csv", f"data.archive={tmp_path / 'x.csv'}"]
    with pytest.raises(DataError, match=r"x: expected timestamps, found none; .*, split=ratio does without$"):
        main(keys)
    with pytest.raises(ConfigError, match=r"^data\.threshold: expected null, .*, got 4; leave data\.threshold out"):
        main([*keys, "data.threshold=4"])


def test_the_settings_that_decide_the_table_stand_above_it_and_leakage_is_explained_below(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    arguments = ["data=ml-1m", f"data.archive={archive}", "data.sha256=null", f"data.root={tmp_path / 'root'}"]
    _, settings, first, *_, last = report([*arguments, "data.threshold=3"]).splitlines()
    assert "leakage: train later than a test positive" in last  # of none, so nothing is explained
    assert settings == (
        f"of data.archive={archive} data.threshold=3 data.duplicates=error data.min_user_positives=0 "
        "data.min_item_positives=0 split=leave_one_out split.ties=file split.back=0"
    )
    assert first.startswith("ratings ")
    assert "data.threshold=null" in report([*arguments, "data.threshold=null"]).splitlines()[1]
    drawn = ["data=synthetic", f"data.root={tmp_path}", "data.users=50", "data.items=40", "data.interactions=400"]
    last = report(drawn).splitlines()[-1]
    assert last.startswith("leakage: what other users did later")
    assert "split=temporal" in last


def test_a_log_without_ratings_has_interactions(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user_id,item_id\na,b\na,c\nb,b\n")
    keys = ["data=csv", f"data.archive={tmp_path / 'x.csv'}", f"data.root={tmp_path}", "data.rating=null"]
    lines = report([*keys, "data.timestamp=null", "split=ratio"]).splitlines()
    assert [line.rsplit(maxsplit=1)[0] for line in lines[2:5]] == [
        "interactions", "users with interactions", "items with interactions",
    ]  # fmt: skip
    assert " data.threshold=null " in lines[1]


def test_clicks_need_two_settings_and_a_split_and_have_the_identity_of_four(tmp_path: Path) -> None:
    """The threshold follows from the missing ratings; a file with ratings keeps the threshold that it had."""
    (tmp_path / "x.csv").write_text("user_id,item_id\na,b\na,c\nb,b\n")
    keys = ["data=csv", f"data.archive={tmp_path / 'x.csv'}", f"data.root={tmp_path}", "data.rating=null"]
    keys += ["data.timestamp=null", "split=ratio"]
    assert report(keys).splitlines()[0] == report([*keys, "data.threshold=null"]).splitlines()[0]
    assert plain(compose(keys).data) == plain(compose([*keys, "data.threshold=null"]).data)
    rated = plain(compose(keys[:2]).data)["threshold"]
    assert (rated, type(rated)) == (4, int)


def test_what_the_data_was_prepared_from_is_said_on_a_first_run_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    arguments = ["data=ml-1m", f"data.archive={archive}", "data.sha256=null", f"data.root={tmp_path / 'root'}"]
    with caplog.at_level("INFO"):
        main(arguments)
        assert f"ml-1m: preparing the data at {archive}" in caplog.text
        caplog.clear()
        main(arguments)
    assert "preparing" not in caplog.text


def test_a_folder_of_the_users_own_yaml_is_looked_into(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "set.zip", members("ml-1m"))
    (tmp_path / "own" / "split").mkdir(parents=True)
    (tmp_path / "own" / "split" / "mine.yaml").write_text("name: leave_one_out\nties: item_id\n")
    keys = [f"data.archive={archive}", "data.sha256=null", f"data.root={tmp_path / 'root'}"]
    own = report(["data=ml-1m", *keys, "split=mine"], str(tmp_path / "own")).splitlines()
    assert own[1].endswith(" split=leave_one_out split.ties=item_id")
    assert own[2:] == report(["data=ml-1m", *keys, "split.ties=item_id"]).splitlines()[2:]
