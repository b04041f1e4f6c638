"""One thing taken for another: a file for the one that lay there before, a cache, a checkpoint, ranks, a run folder."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest
from apart import finish
from toys import compose, small

from ncf import results, train
from ncf.config import component
from ncf.data import DATASETS, Interactions
from ncf.errors import CheckpointError, DataError
from ncf.signals import StopFlag

HEADER = "user_id,item_id,rating,timestamp\n"


def ratings(path: Path, step: int) -> Path:
    """Thirty users of a few items each, others for another `step`."""
    rows = [f"{user},{item},5,{user * 7 + item * 3}\n" for user in range(30) for item in range(user % 5, 40, step)]
    path.write_text(HEADER + "".join(rows))
    return path


def csv_run(root: Path, file: Path, *overrides: str) -> list[str]:
    """The overrides of a small run on the ratings in `file`."""
    plain = [o for o in small(root) if not o.startswith(("data=", "data.users", "data.it", "data.in"))]
    return ["data=csv", f"data.archive='{file}'", *plain, *overrides]


def interactions(root: Path, file: Path) -> Interactions:
    return component("data", DATASETS, compose(*csv_run(root, file)).data)()


def test_a_finished_run_on_another_file_is_not_the_answer(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    one, other = ratings(tmp_path / "one.csv", 2), ratings(tmp_path / "other.csv", 3)
    train.train(compose(*csv_run(tmp_path, one)), folder, StopFlag())
    with pytest.raises(CheckpointError, match=r"other settings than it began with \(data\.sha256: "):
        train.train(compose(*csv_run(tmp_path, other)), folder, StopFlag())
    shutil.copy(one, other)
    assert train.train(compose(*csv_run(tmp_path, other)), folder, StopFlag()) == results.read_result(folder)


def test_a_sweep_over_files_makes_a_run_of_each_and_again_when_one_changes(tmp_path: Path) -> None:
    log, sweep = tmp_path / "log", tmp_path / "sweep"
    files = [ratings(tmp_path / "one.csv", 2), ratings(tmp_path / "other.csv", 3)]
    line = [
        "-m",
        *csv_run(tmp_path, files[0], "trainer.epochs=1"),
        "hydra/launcher=basic",
        f"hydra.sweep.dir='{sweep}'",
    ]
    line[2] = f"data.archive={files[0]},{files[1]}"
    assert finish(line, log) == 0, log.read_text()
    digests = {results.read_result(path.parent)["data_digest"] for path in sweep.glob("*/result.json")}  # type: ignore[index]
    assert len(digests) == 2
    ratings(files[1], 4)
    assert finish(line, log) == 0, log.read_text()
    assert len(list(sweep.glob("*/result.json"))) == 3


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delimited = import_module("ncf.data.delimited")  # the package has a function of that name
    file, read_ratings = ratings(tmp_path / "in.csv", 2), delimited.read_ratings

    def grown(path: Path, *args: object) -> object:
        path.write_text(path.read_text() + "77,1,5,1\n")
        return read_ratings(path, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(delimited, "read_ratings", grown)
    with pytest.raises(DataError, match=r"in\.csv: expected a file at rest, found one that changed"):
        interactions(tmp_path, file)
    assert not list(tmp_path.rglob("*.npz"))


def test_prepared_data_of_another_file_is_not_taken(tmp_path: Path) -> None:
    files = [ratings(tmp_path / "one.csv", 2), ratings(tmp_path / "other.csv", 3)]
    sets = [interactions(tmp_path, file) for file in files]
    one, other = (tmp_path / "processed").glob("*.npz")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    again = [interactions(tmp_path, file) for file in files]
    assert [data.digest for data in again] == [data.digest for data in sets]
    assert [len(data) for data in again] == [len(data) for data in sets]
