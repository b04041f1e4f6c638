"""`python -m ncf.status`: how far the sweeps in a folder are, with an exit status that tells of failures."""

import json
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
        epochs(sweep / "e", 3)
        assert status.main([str(sweep)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{sweep}: 1 of 5 done, 1 running, 1 failed")
    assert out[1:] == ["  failed   c: TrainingError: no good", "  stopped  d: 2 epochs", "  running  e: 3 epochs"]


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
