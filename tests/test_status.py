"""`python -m ncf.status`: how far the sweeps in a folder are, with an exit status that tells of failures."""

import json
import os
import time
from pathlib import Path

import pytest
from toys import finished

from ncf import status
from ncf.errors import ConfigError, DataError
from ncf.launch.progress import write_plan
from ncf.runs.state import claim, record_failure


def epochs(folder: Path, count: int) -> None:
    """`metrics.jsonl` with so many epochs."""
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"epoch": n + 1}) + "\n" for n in range(count)))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A run done, one failed, one stopped after two epochs, two waiting."""
    folder = tmp_path / "outputs" / "sweeps"
    folder.mkdir(parents=True)
    write_plan(folder, "h1", {"a": 9, "c": 9, "d": 9, "e": 9, "f": 19})
    for name in "acd":
        with claim(folder / name):
            epochs(folder / name, 2)
    finished(folder / "a")
    record_failure(folder / "c", "TrainingError: no good")
    return folder


def test_it_shows_what_failed_and_what_is_under_way(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with claim(sweep / "e"):
        epochs(sweep / "e", 1)
        assert status.main([str(sweep)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{sweep}: 1 of 5 done, 1 running, 1 failed")
    assert out[1:] == ["  failed   c: TrainingError: no good", "  stopped  d: 2 epochs", "  running  e: 1 epoch"]


def test_a_simulation_has_periods(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep / "d" / "metrics.jsonl").write_text('{"period": 0, "regret": 1.5}\n{"period": 1, "regret": 1.2}\n')
    status.main([str(sweep)])
    assert "  stopped  d: 2 periods" in capsys.readouterr().out.splitlines()


def test_sweeps_one_folder_further_down_are_found(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(sweep.parent)]) == 1
    assert capsys.readouterr().out.startswith(f"{sweep}: ")


def test_without_a_failure_the_exit_status_is_0(sweep: Path) -> None:
    (sweep / "c" / "failure.json").unlink()
    assert status.main([str(sweep)]) == 0


def test_the_sweeps_of_the_working_folder_are_the_default(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sweep.parents[1])
    assert status.main([]) == 1
    assert capsys.readouterr().out.startswith("outputs/sweeps: 1 of 5 done")


def test_a_folder_without_a_sweep_and_what_is_no_folder_are_refused(tmp_path: Path) -> None:
    for arguments in ([str(tmp_path)], ["nowhere"]):
        with pytest.raises(DataError, match=r": expected a sweep \(a folder with \*\.sweep\.json\), found none$"):
            status.main(arguments)
    with pytest.raises(ConfigError, match="unrecognized arguments: b"):
        status.main(["a", "b"])


def test_names_and_errors_from_outside_are_escaped_and_short(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plan(sweep, "h2", {"ru\x1b[2Jn\u202e": 4})
    name = sweep / "ru\x1b[2Jn\u202e"
    with claim(name):
        record_failure(name, "TrainingError: \x1b]0;title\x07" + "x" * 10_000)
    record_failure(sweep / "c", "first\nsecond")
    assert status.main([str(sweep)]) == 1
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert r"failed   ru\x1b[2Jn\u202e: TrainingError: \x1b]0;title\x07xxx" in shown
    assert r"first\nsecond" in shown
    assert max(map(len, shown.splitlines())) < 700


@pytest.mark.parametrize("name", ["result.json", "failure.json", "metrics.jsonl", ".lock"])
def test_pipes_and_devices_in_place_of_a_runs_files_stall_nothing(sweep: Path, name: str) -> None:
    for run, replace in (("c", os.mkfifo), ("d", lambda path: path.symlink_to("/dev/zero"))):
        (sweep / run / name).unlink(missing_ok=True)
        replace(sweep / run / name)
    begun = time.monotonic()
    status.main([str(sweep)])
    assert time.monotonic() - begun < 2


def test_what_is_no_plan_is_refused_at_once(sweep: Path) -> None:
    plan = sweep / "x.sweep.json"
    for text in ('{"runs": {"../a": 4}}', '{"runs": {"a": "b"}}', '{"runs": {"a": 1e99}}', "[" * 100_000):
        plan.write_text(text)
        with pytest.raises(DataError, match=r"x\.sweep\.json: cannot be read as the plan file of a sweep"):
            status.main([str(sweep)])
    plan.unlink()
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("nowhere")):
        make(plan)
        with pytest.raises(DataError, match=r"x\.sweep\.json: "):
            status.main([str(sweep)])
        plan.unlink()


def test_a_folder_that_cannot_be_read_is_one_line(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(status, "run_status", refused)
    with pytest.raises(DataError, match=r"a: expected a folder that can be read \(Permission denied\)"):
        status.main([str(sweep)])
