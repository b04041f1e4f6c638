"""Runs that a report lacks are counted and named, with the reason, on the page and by the command."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from toys import compose, small

from ncf.errors import DataError
from ncf.report.__main__ import main
from ncf.report.kit.page import PAGE
from ncf.report.unfinished import COLUMNS, damaged_ranks, notes, unfinished
from ncf.runs.state import claim, record_failure
from ncf.train import train

LOST = "Runs without a result are in no table, figure or test"


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two losses, two seeds each."""
    folder = tmp_path_factory.mktemp("sweep")
    for loss in ("bce", "focal"):
        for seed in (1, 2):
            run = folder / f"{loss}-{seed}"
            run.mkdir()
            train(compose(*small(root, f"loss={loss}", f"seed={seed}", "trainer.epochs=1")), run)
    return folder


@pytest.fixture
def sweep(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "sweep"))


def fail(run: Path, error: str) -> None:
    (run / "result.json").unlink(missing_ok=True)
    with claim(run):
        record_failure(run, error)


def said(folder: Path, *arguments: str) -> tuple[str, str]:
    """What the page and README.md of the report in `folder` say, after the command has written them."""
    main(["formats=svg", *arguments])
    return tuple(" ".join((folder / name).read_text().split()) for name in (PAGE, "README.md"))  # type: ignore[return-value]


def test_a_failed_run_is_counted_and_named_with_the_first_line_of_its_failure(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(sweep / "focal-2", "TrainingError: the loss is nan\nsecond line")
    note = "1 of 4 runs failed: focal-2: TrainingError: the loss is nan"
    page, readme = said(sweep / "report", f"sweep={sweep}")
    assert re.search(
        rf"<h1>sweep: 3 runs, 2 arms</h1> <p>Data [^<]*</p> <p><strong>{re.escape(note)}\.</strong></p>", page
    )
    assert f"**{note}.** **{LOST}" in readme
    assert "second line" not in page
    assert capsys.readouterr().err.splitlines()[0] == f"note: {note}"
    again = said(sweep / "copy", f"results={sweep}/report/results.csv", f"output={sweep}/copy")
    assert again == (page, readme)
    assert note in capsys.readouterr().err


def test_mended_runs_are_no_longer_spoken_of(sweep: Path, finished: Path) -> None:
    fail(sweep / "focal-2", "TrainingError: x")
    assert "1 of 4 runs failed" in said(sweep / "report", f"sweep={sweep}")[0]
    shutil.rmtree(sweep / "focal-2")
    shutil.copytree(finished / "focal-2", sweep / "focal-2")
    page, readme = said(sweep / "report", f"sweep={sweep}")
    assert not any(word in page + readme for word in ("failed", LOST, "<strong>1"))
    assert not (sweep / "report" / "unfinished.csv").exists()


def test_damaged_ranks_are_named_and_the_metrics_stay(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep / "bce-1" / "ranks.csv").write_text("a,b\n")
    page, _ = said(sweep / "report", f"sweep={sweep}")
    words = "1 of 4 runs has a damaged ranks.csv (its metrics are those of its result.json): bce-1: ranks.csv, line 1: "
    assert f"{words}expected" in page
    assert f"note: {words}expected" in capsys.readouterr().err
    assert LOST not in page
    assert "<h1>sweep: 4 runs, 2 arms</h1>" in page


def test_every_state_has_its_sentence(tmp_path: Path) -> None:
    for run in ("a", "b"):
        fail(tmp_path / run, f"Error: {run}")
    with claim(tmp_path / "c"):
        pass
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "failure.json").write_text("{")  # copied without hidden files, and damaged
    for other in ("report", ".hydra", "empty"):
        (tmp_path / other).mkdir()
    with claim(tmp_path / "e"):
        table = unfinished([tmp_path, tmp_path])
    assert notes(table, 10)[:-1] == [
        "3 of 15 runs failed: a: Error: a; b: Error: b; d: unreadable failure.json (DataError)",
        "1 of 15 runs stopped before its end: c",
        "1 of 15 runs is still running: e",
    ]
    assert notes(table, 10)[-1].startswith(LOST)
    assert notes(unfinished([tmp_path / "report"]), 10) == []


def test_many_are_counted_and_some_named() -> None:
    table = pd.DataFrame([(f"r{n}", "failed", "E") for n in range(7)], columns=COLUMNS)
    assert notes(table, 3)[0] == "7 of 10 runs failed: r0: E; r1: E; r2: E; r3: E; r4: E; and 2 more"


def test_a_failure_from_outside_is_one_short_line(tmp_path: Path) -> None:
    fail(tmp_path / "a", "\x1b[2J" + "x" * 5000 + "\nmore")
    fail(tmp_path / "b", " \n ")
    reasons = unfinished([tmp_path])["reason"].tolist()
    assert reasons[0].startswith("\\x1b[2Jxxx")
    assert len(reasons[0]) == 200
    assert reasons[1] == "no reason"


def test_whole_ranks_are_not_spoken_of(finished: Path) -> None:
    assert damaged_ranks(sorted(path.parent for path in finished.glob("*/result.json"))).empty


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_names_the_file_of_its_run(sweep: Path, value: float) -> None:
    path = sweep / "focal-1" / "result.json"
    result = json.loads(path.read_text())
    result["test"]["ndcg@10"] = value
    path.write_text(json.dumps(result))
    with pytest.raises(DataError) as caught:
        main([f"sweep={sweep}"])
    assert str(caught.value) == f"{path}: expected a finite test/ndcg@10, found '{value}'"
    assert not (sweep / "report").exists()


def test_of_a_registered_study_too(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from made_up import REGISTRATION

    (tmp_path / "plan.yaml").write_text(f"{REGISTRATION}\nreport: [missing]\n")
    fail(sweep / "focal-2", "TrainingError: x")
    main([f"registration={tmp_path}/plan.yaml", f"sweep={sweep}", f"output={tmp_path}/out"])
    assert "note: 1 of 4 runs failed: focal-2: TrainingError: x\n" in capsys.readouterr().err
    path = sweep / "focal-1" / "result.json"
    path.write_text(path.read_text().replace('"ndcg@10": 0.', '"ndcg@10": NaN, "was": 0.'))
    with pytest.raises(DataError, match=r"focal-1/result\.json: expected a finite test/ndcg@10, found 'nan'"):
        main([f"registration={tmp_path}/plan.yaml", f"sweep={sweep}", f"output={tmp_path}/out"])
