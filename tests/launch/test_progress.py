"""How far a sweep on disk is."""

import json
import os
import time
from pathlib import Path

import pytest
from toys import finished

from ncf.errors import DataError
from ncf.launch import progress
from ncf.launch.progress import SweepProgress, progress_line, read_plan, write_plan
from ncf.runs.state import claim, record_failure

START = 1_700_000_000.0


def epochs(folder: Path, count: int) -> None:
    """`metrics.jsonl` with so many epochs."""
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"epoch": n + 1}) + "\n" for n in range(count)))


def ended(folder: Path, seconds: float) -> None:
    """Done, so many seconds after the sweep was started."""
    finished(folder)
    os.utime(folder / "result.json", (START + seconds, START + seconds))


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs done, one of them before the last start, one failed, one stopped after two epochs, two waiting."""
    write_plan(tmp_path, "h1", {"a": 9, "b": 9, "c": 9})
    write_plan(tmp_path, "h2", {"c": 9, "d": 9, "e": 9, "f": 19})
    for name in "abcd":
        with claim(tmp_path / name):
            epochs(tmp_path / name, 2)
    os.utime(tmp_path / "h1.sweep.json", (START - 5000, START - 5000))
    os.utime(tmp_path / "h2.sweep.json", (START, START))
    ended(tmp_path / "a", -1000)
    ended(tmp_path / "b", 60)
    record_failure(tmp_path / "c", "TrainingError: no good")
    monkeypatch.setattr("time.time", lambda: START + 90)
    return tmp_path


def test_plans_of_one_folder_add_up(sweep):
    assert read_plan(sweep) == {"a": 9, "b": 9, "c": 9, "d": 9, "e": 9, "f": 19}


def test_the_line_says_how_many_and_how_long(sweep):
    shown = SweepProgress(sweep, read_plan(sweep))
    # Since the last start b took 60 s for ten rows a positive; ahead are d and e, and f with twice the rows.
    assert shown.line(shown.look()) == "2 of 6 done, 0 running, 1 failed, 1 stopped half-way, 4 min left"
    with claim(sweep / "d"), claim(sweep / "e"):
        # The clock runs on while there are runs in hand.
        assert shown.line(shown.look()) == "2 of 6 done, 2 running, 1 failed, 6 min left"


@pytest.mark.parametrize(("seconds", "text"), [(99, "99 s"), (6000, "1 h 40 min"), (36300, "10 h 05 min")])
def test_long_times_are_in_minutes_and_hours(sweep, seconds, text):
    ended(sweep / "b", seconds / 4)
    shown = SweepProgress(sweep, read_plan(sweep))
    assert shown.line(shown.look()).endswith(f", {text} left")


def test_there_is_no_guess_before_a_run_has_ended(sweep):
    shown = SweepProgress(sweep, {"d": 9, "e": 9})
    assert shown.line(shown.look()) == "0 of 2 done, 0 running, 0 failed, 1 stopped half-way"


def test_each_look_sees_what_has_changed(sweep):
    shown = SweepProgress(sweep, read_plan(sweep))
    shown.look()
    finished(sweep / "d")
    assert [a.state for a in shown.look()] == ["done", "done", "failed", "done", "waiting", "waiting"]


def test_the_line_is_shown_at_the_end_and_from_time_to_time(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No terminal, as of a batch job: whole lines."""
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.01)
    with progress_line(SweepProgress(sweep, {"d": 9, "e": 9})):
        time.sleep(0.2)
        finished(sweep / "d")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert lines[0] == "sweep: 0 of 2 done, 0 running, 0 failed, 1 stopped half-way"
    assert lines[-1].startswith("sweep: 1 of 2 done")


def test_a_terminal_sees_one_line_that_changes(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_TERMINAL_SECONDS", 0.01)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_line(SweepProgress(sweep, {"d": 9, "e": 9})):
        time.sleep(0.2)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.count("\r\033[K") > 1


def test_an_error_within_it_goes_on_and_the_line_ends(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), progress_line(SweepProgress(sweep, {"d": 9})):
        _ = 1 / 0
    assert capsys.readouterr().err.endswith("half-way\n")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": 3}'])
def test_a_broken_plan_is_named(sweep, text):
    (sweep / "h1.sweep.json").write_text(text)
    with pytest.raises(DataError, match=r"h1\.sweep\.json: cannot be read as the plan file of a sweep"):
        read_plan(sweep)
