"""One thing taken for another: a file for the one that lay there before, a cache, a checkpoint, ranks, a run folder."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from apart import finish
from toys import compose, small

from ncf.core.config import component
from ncf.data import DATASETS, Interactions
from ncf.errors import CheckpointError, DataError
from ncf.report import side_by_side
from ncf.runs import artifacts, checkpoint, loading, pretraining
from ncf.runs.ranks_file import read_ranks
from ncf.train import train

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
    train(compose(*csv_run(tmp_path, one)), folder)
    with pytest.raises(CheckpointError, match=r"other settings than it was started with \(data\.sha256: "):
        train(compose(*csv_run(tmp_path, other)), folder)
    shutil.copy(one, other)
    assert train(compose(*csv_run(tmp_path, other)), folder) == artifacts.read_result(folder)


@pytest.mark.slow
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
    digests = {artifacts.read_result(path.parent)["data_digest"] for path in sweep.glob("*/result.json")}  # type: ignore[index]
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
    with pytest.raises(DataError, match=r"in\.csv: the file changed while it was being read"):
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


@pytest.mark.parametrize("form", ["+resume", "++resume"])
def test_a_run_to_resume_that_is_named_otherwise_is_not_begun_anew(form: str, root: Path, tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "new"
    assert finish([*small(root), f"{form}={tmp_path / 'old'}", f"hydra.run.dir='{folder}'"], log) == 2
    found = f"error: resume: expected resume=<run folder> on the command line, got '{tmp_path / 'old'}' from a file\n"
    assert log.read_text() == found
    assert not (folder / checkpoint.NEWEST).exists()


@pytest.fixture(scope="module")
def pair(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two finished runs whose weights have the same shapes."""
    base = tmp_path_factory.mktemp("pair")
    for name in ("bce", "focal"):
        (base / name).mkdir()
        plain = [o for o in small(root) if not o.startswith("model.")]
        cfg = compose(*plain, "model=gmf", "model.factors=8", f"loss={name}")
        train(cfg, base / name)
    return [base / "bce", base / "focal"]


@pytest.fixture
def runs(pair: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of them, for each test to spoil."""
    return [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in pair]


def test_the_checkpoint_of_another_run_does_not_answer_for_this_one(runs: list[Path]) -> None:
    own, other = runs
    loading.load(own)
    shutil.copy(other / checkpoint.NEWEST, own / checkpoint.NEWEST)
    found = r"expected a checkpoint that matches result\.json, found another run's \(.*loss\.name: 'bce' -> 'focal'"
    with pytest.raises(CheckpointError, match=found):
        loading.load(own)
    with pytest.raises(CheckpointError, match=found):
        pretraining.weights("gmf", own)


def test_a_longer_run_that_is_not_over_does_not_answer_for_the_finished_one(runs: list[Path], root: Path) -> None:
    plain = [o for o in small(root) if not o.startswith(("model.", "trainer.epochs"))]
    cfg = compose(*plain, "model=gmf", "model.factors=8", "trainer.epochs=9")
    assert train(cfg, runs[0], lambda: True) is None
    with pytest.raises(CheckpointError, match=r"\(trainer\.epochs: 3 -> 9\)"):
        loading.load(runs[0])


def compared(runs: list[Path]) -> str:
    return side_by_side.report([side_by_side.ComparedRun(folder, loading.finished(folder)) for folder in runs], "test")


def with_row(folder: Path, row: str) -> None:
    """The first test row of `ranks.csv` is `row`."""
    lines = (folder / artifacts.RANKS).read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith("test,"))
    user, item = lines[number].split(",")[1:3]
    lines[number] = f"test,{user},{item},{row}"
    (folder / artifacts.RANKS).write_text("\n".join(lines) + "\n")


CONTRADICTED = r"as in result\.json, but ranks\.csv gives .*; one of the two was changed after the run$"


def test_ranks_that_are_not_those_of_the_result_are_not_compared(runs: list[Path]) -> None:
    assert "difference from 1 over 60 users" in compared(runs)
    with_row(runs[1], "1,60,1")
    with pytest.raises(DataError, match=rf"^{runs[1]}: expected test/.*{CONTRADICTED}"):
        compared(runs)


def test_a_result_that_was_edited_does_not_go_with_its_ranks(runs: list[Path]) -> None:
    result = json.loads((runs[0] / artifacts.RESULT).read_text())
    result["test"]["ndcg@10"] += 0.01
    (runs[0] / artifacts.RESULT).write_text(json.dumps(result))
    with pytest.raises(DataError, match=rf"^{runs[0]}: expected test/ndcg@10 .*{CONTRADICTED}"):
        compared(runs)


@pytest.mark.parametrize("row", ["61,60,1", "x,60,1"])
def test_ranks_that_no_run_writes_are_named_by_their_line(row: str, runs: list[Path]) -> None:
    with_row(runs[0], row)
    with pytest.raises(DataError, match=rf"^{runs[0] / artifacts.RANKS}, line \d+: expected "):
        compared(runs)


def test_ranks_cut_short_are_named(runs: list[Path]) -> None:
    text = (runs[0] / artifacts.RANKS).read_text()
    (runs[0] / artifacts.RANKS).write_text(text[: text.index("test,")])
    with pytest.raises(DataError, match=r"ranks\.csv: expected rows of split 'test', found none"):
        compared(runs)


def test_a_user_called_na_is_a_user(tmp_path: Path) -> None:
    (tmp_path / artifacts.RANKS).write_text("split,user_id,item_id,rank,candidates,tied\ntest,NA,null,1,5,1\n")
    assert read_ranks(tmp_path, "test")[["user_id", "item_id"]].to_numpy().tolist() == [["NA", "null"]]
