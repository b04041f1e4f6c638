"""The few lines of Python that a notebook needs: fit on one's own frame, and evaluate any scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from finished_runs import FinishedRuns

import ncf
from ncf.core.compose import compose
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError, TrainingError
from ncf.runs.identity import resolved, run_id
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import load

QUIET = ["trainer.progress=false"]


@pytest.fixture
def clicks() -> pd.DataFrame:
    """Clicks without rating and time, under names that people use; ids are text."""
    stream = np.random.default_rng(0)
    frame = pd.DataFrame({"user": stream.integers(40, size=700), "item": stream.integers(30, size=700)})
    return "u" + frame.drop_duplicates().astype(str)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def run(runs: FinishedRuns, root: Path) -> LoadedRun:
    return load(runs["mf"], root=root)


def test_a_frame_of_clicks_is_fitted_in_one_line_and_recommended_from_in_another(
    here: Path, clicks: pd.DataFrame
) -> None:
    fitted = ncf.fit("neumf", data=clicks, epochs=2, neg_ratio=4, overrides=QUIET)
    assert fitted.result["epochs"] <= 2
    assert fitted.result["config"]["split"]["name"] == "ratio"
    assert fitted.split.num_users == clicks["user"].nunique()
    best = fitted.recommend(["u3"], 5)
    assert best["item_id"].nunique() == 5
    assert fitted.folder.is_relative_to("outputs/python")


def test_the_same_call_again_returns_the_finished_run(here: Path, clicks: pd.DataFrame) -> None:
    first = ncf.fit("ease", data=clicks, overrides=QUIET)
    written = (first.folder / "result.json").stat().st_mtime_ns
    again = ncf.fit("ease", data=clicks.copy(), overrides=QUIET)
    assert again.folder == first.folder
    assert (again.folder / "result.json").stat().st_mtime_ns == written
    other = ncf.fit("ease", data=clicks.iloc[::-1], overrides=QUIET)
    assert other.folder != first.folder


def test_a_file_and_a_folder_given_as_text_are_taken_and_made(here: Path, clicks: pd.DataFrame) -> None:
    rated = clicks.assign(stars=5, when=range(len(clicks)))
    rated.to_csv(here / "mine.csv", index=False)
    columns = ["data.user=user", "data.item=item", "data.rating=stars", "data.timestamp=when"]
    fitted = ncf.fit("popularity", "mine.csv", folder="a/b/run", overrides=[*QUIET, *columns])
    assert fitted.folder == Path("a/b/run")
    assert fitted.result["config"]["split"]["name"] == "leave_one_out"


def test_ratings_and_times_of_a_frame_are_used(here: Path, clicks: pd.DataFrame) -> None:
    stars = np.where(np.arange(len(clicks)) % 3, 5, 2)
    frame = clicks.assign(rating=stars, timestamp=range(len(clicks)))
    fitted = ncf.fit("popularity", frame, overrides=QUIET)
    assert sum(len(part.users) for part in (fitted.split.train, fitted.split.valid, fitted.split.test)) == sum(
        stars == 5
    )
    assert fitted.split.train.timestamps is not None
    assert ncf.fit("popularity", frame, split="random", overrides=QUIET).result["config"]["split"]["name"] == "random"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame({"item": [1]}), "data: expected a column user_id or user or userId, found item"),
        ("gone.csv", "data: expected a frame, a file or one of"),
    ],
)
def test_data_that_are_none_are_one_line(here: Path, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ncf.fit("ease", data)
    assert not list(here.rglob("*"))


def test_a_wrong_setting_is_refused_before_anything_is_made(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.epochs"):
        ncf.fit("neumf", "synthetic", epochs=0, folder="x", overrides=QUIET)
    assert not (here / "x" / "result.json").exists()


def test_a_runs_own_metrics_come_out_whatever_form_its_scores_have(run: LoadedRun) -> None:
    expected = pytest.approx(run.result["test"], abs=1e-12)
    matrix = run.score(run.split.user_ids)
    listed = pd.DataFrame(
        {
            "user_id": np.repeat(run.split.user_ids, run.split.num_items),
            "item_id": np.tile(run.split.item_ids, run.split.num_users),
            "score": matrix.ravel(),
        }
    )
    forms = [
        matrix,
        torch.from_numpy(matrix),
        matrix.astype(np.float64),
        listed,
        run.model,
        run.model.score,
        listed.sample(frac=1, random_state=0),
    ]
    for scores in forms:
        assert ncf.evaluate(scores, run) == expected
    assert ncf.evaluate(matrix, run.split) == expected
    assert ncf.evaluate(matrix, run, part="valid") == pytest.approx(run.result["valid"], abs=1e-12)


def test_scores_as_whole_numbers_or_in_half_precision_are_taken(run: LoadedRun) -> None:
    order = run.score(run.split.user_ids).argsort(1).argsort(1)
    assert ncf.evaluate(order, run) == pytest.approx(ncf.evaluate(order.astype(float), run))
    assert ncf.evaluate(torch.from_numpy(order).half(), run)["hit@10"] >= 0


def test_a_perfect_a_constant_and_a_listed_ranking_have_the_values_that_follow(run: LoadedRun) -> None:
    split = run.split
    perfect = np.zeros((split.num_users, split.num_items))
    perfect[split.test.users, split.test.items] = 1
    assert set(ncf.evaluate(perfect, run).values()) == {1.0}
    seen = np.bincount(np.concatenate([split.train.users, split.valid.users]), minlength=split.num_users)
    chance = (10 / (split.num_items - seen[split.test.users])).mean()
    assert ncf.evaluate(np.zeros_like(perfect), run, cutoffs=[10])["hit@10"] == pytest.approx(chance)
    listed = pd.DataFrame({"user_id": split.user_ids[split.test.users], "item_id": split.item_ids[split.test.items]})
    assert ncf.evaluate(listed.assign(rank=1), run, cutoffs=[1]) == {"hit@1": 1.0, "ndcg@1": 1.0, "mrr": 1.0}


def test_a_table_that_cannot_say_what_is_asked_is_refused(run: LoadedRun) -> None:
    table = run.recommend(run.split.user_ids, 10, leave_out="train")
    assert ncf.evaluate(table, run, part="valid", cutoffs=[10])["hit@10"] == pytest.approx(
        run.result["valid"]["hit@10"]
    )
    with pytest.raises(DataError, match=r"at least 20 items, the largest cut-off, .* found 10 for user"):
        ncf.evaluate(table, run)
    with pytest.raises(DataError, match=r"found 0 for user"):
        ncf.evaluate(table[table["user_id"] != run.split.user_ids[3]], run, cutoffs=[5])
    with pytest.raises(DataError, match=r"once, found .* again in row 20"):
        ncf.evaluate(pd.concat([table[:20], table[:20]]), run, cutoffs=[5])


@pytest.mark.parametrize("name", ["it's", "a${x}", "a\\${x}\\", "x, [y]={z}"])
def test_any_path_may_be_a_folder_or_a_file(here: Path, clicks: pd.DataFrame, name: str) -> None:
    fitted = ncf.fit("popularity", clicks, folder=name, overrides=QUIET)
    assert fitted.folder == Path(name)
    assert ncf.load(name).recommend(["u3"], 2)["item_id"].tolist() == fitted.recommend(["u3"], 2)["item_id"].tolist()
    clicks.to_csv(here / f"{name}.csv", index=False)
    columns = {"data.user": "user", "data.item": "item", "data.rating": None, "data.threshold": None}
    settings = {**columns, "data.timestamp": None, "trainer.progress": False}
    assert ncf.fit("popularity", f"{name}.csv", split="ratio", overrides=settings).split.num_users == 40


def test_the_id_of_a_run_on_a_frame_is_that_of_its_file(here: Path, clicks: pd.DataFrame) -> None:
    fitted = ncf.fit("popularity", clicks, overrides=QUIET)
    config = fitted.result["config"]
    file = Path(config["data"]["archive"])
    assert file.read_text() == clicks.to_csv(index=False, lineterminator="\n")
    names = ["data.user=user", "data.item=item", "data.rating=null", "data.timestamp=null", "data.threshold=null"]
    settings = resolved(compose(["model=popularity", "data=csv", f"data.archive={file}", "split=ratio", *names]))
    assert fitted.folder.name == run_id(settings)
    assert settings["data"] == config["data"]
    assert fitted.split.name == file.stem


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("folder", ["new/of/two", None])
def test_a_refusal_leaves_no_folder(here: Path, clicks: pd.DataFrame, folder: str | None) -> None:
    refused: list[dict[str, Any]] = [
        {"data": clicks.assign(rating="x")},
        {"data": clicks.assign(rating=1)},
        {"data": clicks, "epochs": 0},
        {"data": clicks, "overrides": ["evaluation.cutoffs=[1000]"]},
        {"data": clicks, "overrides": ["device=cuda:77"]},
        {"data": pd.concat([clicks, clicks[:1]])},
    ]
    for wrong in refused:
        with pytest.raises((ConfigError, DataError)):
            ncf.fit("popularity", folder=folder, **wrong)
        assert not [path for path in content(here) if not path.startswith(str(here / "data"))]


def test_a_refusal_leaves_every_byte_of_a_folder(here: Path, clicks: pd.DataFrame) -> None:
    ncf.fit("ease", clicks, folder="R", overrides=QUIET)
    (here / "S").mkdir()
    (here / "S/mine.txt").write_text("mine")
    before = content(here / "R"), content(here / "S")
    with pytest.raises(CheckpointError):
        ncf.fit("popularity", clicks[:-1], folder="R", overrides=QUIET)
    with pytest.raises(DataError):
        ncf.fit("popularity", clicks.assign(rating="x"), folder="S", overrides=QUIET)
    assert (content(here / "R"), content(here / "S")) == before


def test_a_lost_file_of_data_is_written_again(here: Path, clicks: pd.DataFrame) -> None:
    first = ncf.fit("popularity", clicks, overrides=QUIET)
    file = Path(first.result["config"]["data"]["archive"])
    for damage in (file.unlink, lambda: file.write_text("user")):
        damage()
        assert ncf.fit("popularity", clicks, overrides=QUIET).folder == first.folder
        assert file.read_text().startswith("user,item\nu")


def test_values_of_python_are_settings(here: Path, clicks: pd.DataFrame) -> None:
    own = {"data.threshold": None, "data.root": "my data, x", "trainer": {"progress": False, "epochs": np.int64(3)}}
    fitted = ncf.fit("popularity", clicks.assign(rating=1), tracking=None, overrides=own)
    config = fitted.result["config"]
    assert (config["data"]["threshold"], config["data"]["root"]) == (None, "my data, x")
    assert (config["trainer"]["epochs"], config["tracking"]["name"]) == (3, "none")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"overrides": "seed=3"}, r"overrides: expected a list such as \['seed=3'\] or a mapping .*, got 'seed=3'"),
        ({"overrides": None}, "overrides: expected a list .*, got None"),
        ({"overrides": [3]}, r"overrides: expected a list .*, got \[3\]"),
        ({"overrides": {1: 2}}, "overrides: expected names of settings, such as 'optimizer.lr', got 1"),
        (
            {"overrides": {"seed": {3}}},
            "seed: expected None, true or false, a number, text or a list of these, got set",
        ),
        ({"overrides": {"optimizer.lr": "0.1"}}, "optimizer.lr: .*, got '0.1'"),
        ({"model": None}, "model: expected a name, such as 'neumf', got NoneType"),
        ({"epochs": 2.5}, "trainer.epochs: .* got 2.5"),
        ({"folder": 3}, "folder: expected a path, got 3"),
        ({"folder": ""}, "folder: expected a path, got ''"),
        ({"data": None}, "data: expected a frame, a file or one of .*, got NoneType"),
        ({"data": {}}, "data: expected a frame, a file or one of .*, got dict"),
        ({"data": np.zeros(3)}, "data: expected a frame, a file or one of .*, got ndarray"),
        ({"data": "x" * 5000}, "data: expected a frame, a file or one of .*, got 'xxx"),
    ],
)
def test_wrong_arguments_are_one_line_and_leave_nothing(
    here: Path, clicks: pd.DataFrame, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(NcfError, match=rf"^{message}[^\n]*$"):
        ncf.fit(**{"model": "ease", "data": clicks, **wrong})
    assert not list(here.rglob("*"))


def test_whole_floats_are_the_ids_they_stand_for(here: Path) -> None:
    frame = pd.DataFrame(
        {"user": np.repeat(range(12), 4), "item": [(5 * u + i) % 23 for u in range(12) for i in range(4)]}
    )
    fitted = ncf.fit("popularity", frame.astype(float), overrides=QUIET)
    assert fitted.folder == ncf.fit("popularity", frame, overrides=QUIET).folder
    expected = fitted.recommend([3], 2)
    for ids in ([3.0], np.array([3.0]), pd.Series([3.0]), ["3"]):
        pd.testing.assert_frame_equal(fitted.recommend(ids, 2), expected)
    assert expected["user_id"].tolist() == [3, 3]
    pd.testing.assert_frame_equal(fitted.recommend_for([1.0, 2.0], 2), fitted.recommend_for([1, 2], 2))
    holed = frame.astype(float)
    holed.loc[7, "user"] = np.nan
    with pytest.raises(DataError, match=r"^data: expected a value in column 'user' of each row, found none in row 7$"):
        ncf.fit("popularity", holed, overrides=QUIET)


def test_what_a_model_ignores_is_no_reason_to_refuse(here: Path, clicks: pd.DataFrame) -> None:
    fitted = ncf.fit("ease", clicks, overrides=[*QUIET, "evaluation.cutoffs=[3]"])
    assert set(fitted.result["test"]) == {"hit@3", "ndcg@3", "mrr"}
    assert fitted.result["config"]["trainer"]["monitor"] == "ndcg@10"
    assert "test hit@3" in repr(fitted)


def test_what_is_mistyped_gets_the_advice_of_the_command_line(here: Path, clicks: pd.DataFrame) -> None:
    for wrong, meant in (({"model": "NeuMF"}, "neumf"), ({"overrides": ["loss.gama=2"]}, "loss.gamma")):
        with pytest.raises(ConfigError, match=rf"did you mean {meant}\?"):
            ncf.fit(**{"model": "neumf", "data": clicks, "loss": "focal", **wrong})
    assert not list(here.rglob("*"))


def test_settings_may_be_a_dict_and_times_datetimes(here: Path, clicks: pd.DataFrame) -> None:
    dated = clicks.assign(timestamp=pd.date_range("2020-01-01", periods=len(clicks), freq="h"))
    fitted = ncf.fit("popularity", dated, overrides={"trainer.progress": False, "trainer.patience": 3})
    assert fitted.result["config"]["trainer"]["patience"] == 3
    assert fitted.result["config"]["split"]["name"] == "leave_one_out"
    assert fitted.history("u3", 50)["time"].str.startswith("2020-01").all()


def test_a_missing_value_is_named_by_column_and_row(here: Path, clicks: pd.DataFrame) -> None:
    holed = clicks.reset_index(drop=True)
    holed.loc[7, "item"] = None
    with pytest.raises(DataError, match=r"^data: expected a value in column 'item' of each row, found none in row 7$"):
        ncf.fit("popularity", holed)


def test_a_single_id_is_no_list(run: LoadedRun) -> None:
    for alone in (3, "u1"):
        with pytest.raises(DataError, match=r"^user: expected a list of ids, got .* alone; \[.*\] is a list of one$"):
            run.recommend(alone, 3)


def test_a_run_is_one_line_in_a_notebook(run: LoadedRun) -> None:
    assert repr(run).startswith("LoadedRun(mf on synthetic")
    assert len(repr(run)) < 300
    assert "\n" not in repr(run)


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (np.zeros((2, 3)), DataError, r"scores: expected a matrix of \d+ users by \d+ items, got shape \(2, 3\)"),
        (np.zeros(3), DataError, r"got shape \(3,\)"),
        (np.zeros((2, 3), complex), DataError, "expected real numbers"),
        (
            pd.DataFrame({"user_id": [1]}),
            DataError,
            "expected columns user_id, item_id and score or rank, found user_id",
        ),
        (pd.DataFrame({"user_id": [-7], "item_id": [0], "score": [1]}), DataError, "user -7 is not in the split"),
    ],
)
def test_scores_that_fit_nothing_are_one_line(
    run: LoadedRun, scores: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ncf.evaluate(scores, run)


def test_a_nan_an_unknown_metric_and_an_unknown_part_are_refused(run: LoadedRun) -> None:
    matrix = run.score(run.split.user_ids).copy()
    matrix[3, 4] = np.nan
    with pytest.raises(TrainingError, match="NaN"):
        ncf.evaluate(matrix, run)
    for wrong in ({"metrics": ["ndgc"]}, {"cutoffs": [10**6]}, {"part": "train"}, {"ties": "none"}):
        with pytest.raises(ConfigError):
            ncf.evaluate(np.zeros_like(matrix), run, **wrong)  # type: ignore[arg-type]
