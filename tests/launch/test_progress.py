"""How far a sweep on disk is."""

import json
import os
from pathlib import Path

import pytest
from toys import finished

from ncf.errors import DataError
from ncf.runs.state import claim, record_failure
from ncf.status import Survey, main, read_plan, write_plan

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


def test_the_line(sweep):
    survey = SweepProgress(sweep, read_plan(sweep))
    # Since the last start b took 60 s for ten rows a positive; ahead are d and e, and f with twice the rows.
    assert survey.line(survey.look()) == "2 of 6 done, 0 running, 1 failed, 1 stopped half-way, 4 min left"
    with claim(sweep / "d"), claim(sweep / "e"):
        # The clock runs on while there are runs in hand.
        assert survey.line(survey.look()) == "2 of 6 done, 2 running, 1 failed, 6 min left"


@pytest.mark.parametrize(("seconds", "text"), [(99, "99 s"), (6000, "1 h 40 min"), (36300, "10 h 05 min")])
def test_durations(sweep, seconds, text):
    ended(sweep / "b", seconds / 4)
    survey = SweepProgress(sweep, read_plan(sweep))
    assert survey.line(survey.look()).endswith(f", {text} left")


def test_no_guess_before_a_run_has_ended(sweep):
    survey = SweepProgress(sweep, {"d": 9, "e": 9})
    assert survey.line(survey.look()) == "0 of 2 done, 0 running, 0 failed, 1 stopped half-way"


def test_a_survey_sees_what_changes(sweep):
    survey = SweepProgress(sweep, read_plan(sweep))
    survey.look()
    finished(sweep / "d")
    assert [a.state for a in survey.look()] == ["done", "done", "failed", "done", "waiting", "waiting"]


def test_the_command(sweep, capsys):
    with claim(sweep / "e"):
        epochs(sweep / "e", 3)
        assert main([str(sweep)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{sweep}: 2 of 6 done, 1 running, 1 failed")
    assert out[1:] == ["  failed   c: TrainingError: no good", "  stopped  d: 2 epochs", "  running  e: 3 epochs"]
    assert main([str(sweep.parent)]) == 1  # found one folder further down
    (sweep / "c" / "failure.json").unlink()
    assert main([str(sweep)]) == 0


@pytest.mark.parametrize("arguments", [["nowhere"], ["--help"], ["a", "b"]])
def test_bad_arguments(arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": 3}'])
def test_a_broken_plan_is_named(sweep, text):
    (sweep / "h1.sweep.json").write_text(text)
    with pytest.raises(DataError, match=r"h1\.sweep\.json: expected the plan of a sweep"):
        read_plan(sweep)
