"""How far a sweep on disk is."""

import json
from pathlib import Path

import pytest

from ncf.errors import DataError
from ncf.runs import claim, record_failure
from ncf.status import Survey, main, read_plan, write_plan


def epochs(folder: Path, seconds: list[float]) -> None:
    """`metrics.jsonl` with an epoch of each of these durations."""
    lines = [json.dumps({"epoch": n + 1, "train_seconds": s, "valid_seconds": 0.0}) for n, s in enumerate(seconds)]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two runs done, one failed, one stopped after an epoch, two waiting."""
    write_plan(tmp_path, "h1", {"a": 9, "b": 9, "c": 9})
    write_plan(tmp_path, "h2", {"c": 9, "d": 9, "e": 9, "f": 19})
    for name in "abcd":
        with claim(tmp_path / name):
            epochs(tmp_path / name, [30.0, 30.0])
    for name in "ab":
        (tmp_path / name / "result.json").write_text("{}")
    record_failure(tmp_path / "c", "TrainingError: no good")
    return tmp_path


def test_plans_of_one_folder_add_up(sweep):
    assert read_plan(sweep) == {"a": 9, "b": 9, "c": 9, "d": 9, "e": 9, "f": 19}


def test_the_line(sweep):
    survey = Survey(sweep, read_plan(sweep))
    # A run of ten rows a positive takes 60 s; ahead are d (all but 60 s), e and f (twice the rows).
    assert survey.line(survey.look()) == "2 of 6 done, 0 running, 1 failed, 1 stopped half-way, 3 min left"
    with claim(sweep / "d"), claim(sweep / "e"):
        assert survey.line(survey.look()) == "2 of 6 done, 2 running, 1 failed, 90 s left"


def test_no_guess_without_a_finished_run(sweep):
    survey = Survey(sweep, {"d": 9, "e": 9})
    assert survey.line(survey.look()) == "0 of 2 done, 0 running, 0 failed, 1 stopped half-way"


def test_a_survey_sees_what_changes(sweep):
    survey = Survey(sweep, read_plan(sweep))
    survey.look()
    (sweep / "d" / "result.json").write_text("{}")
    assert [a.state for a in survey.look()] == ["done", "done", "failed", "done", "waiting", "waiting"]


def test_the_command(sweep, capsys):
    with claim(sweep / "e"):
        epochs(sweep / "e", [1.0, 1.0, 1.0])
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
