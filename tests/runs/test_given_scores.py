"""Scores of any origin: forms that are taken, forms that are refused, and tables that are too short."""

import dataclasses
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from finished_runs import FinishedRuns
from scipy import sparse

import ncf
from ncf.errors import DataError, NcfError
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import load


@pytest.fixture(scope="module")
def run(runs: FinishedRuns, root: Path) -> LoadedRun:
    return load(runs["mf"], root=root)


@pytest.fixture(scope="module")
def matrix(run: LoadedRun) -> np.ndarray:
    return run.score(run.split.user_ids).astype(np.float64)


@pytest.fixture(scope="module")
def table(run: LoadedRun, matrix: np.ndarray) -> pd.DataFrame:
    """Every item of every user."""
    users, items = np.meshgrid(run.split.user_ids, run.split.item_ids, indexing="ij")
    return pd.DataFrame({"user_id": users.ravel(), "item_id": items.ravel(), "score": matrix.ravel()})


class Model:
    def __init__(self, scores: Any) -> None:
        self.scores = scores

    def score(self, users: torch.Tensor) -> Any:
        return self.scores[users.numpy()]


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def test_a_matrix_is_taken_however_it_lies_in_memory(run: LoadedRun, matrix: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "scores.npy", matrix)
    forms = [
        read_only(matrix),
        np.load(tmp_path / "scores.npy", mmap_mode="r"),
        matrix[:, ::-1].copy()[:, ::-1],
        matrix[::-1].copy()[::-1],
        matrix.astype(">f8"),
        matrix.astype(object),
        matrix.astype(np.longdouble),
        matrix.tolist(),
        np.ma.masked_array(matrix),
        torch.tensor(matrix, requires_grad=True),
        Model(matrix),
        Model(read_only(matrix)),
        Model(matrix.astype(object)),
        lambda users: matrix[users.numpy()].tolist(),
        lambda users: read_only(matrix[users.numpy()]),
        run,
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scores in forms:
            assert ncf.evaluate(scores, run) == pytest.approx(run.result["test"], abs=1e-12)
        same = ncf.evaluate(np.broadcast_to(matrix[0], matrix.shape), run)
    assert same == ncf.evaluate(np.tile(matrix[0], (len(matrix), 1)), run)


def test_ids_of_a_table_may_be_whole_floats_or_text(run: LoadedRun, table: pd.DataFrame) -> None:
    for kind in (float, str, object, "Int64", "category"):
        ids = table.astype({"user_id": kind, "item_id": kind})
        assert ncf.evaluate(ids, run) == pytest.approx(run.result["test"], abs=1e-12)
    with pytest.raises(DataError, match=r"^scores: user 0\.5 is not in the split \(row 0\)$"):
        ncf.evaluate(table.assign(user_id=0.5), run)
    twice = pd.concat([table, table.astype({"user_id": str, "item_id": float})[:1]])
    with pytest.raises(DataError, match=r"^scores: expected each pair of user and item once"):
        ncf.evaluate(twice, run)


FORMS = r"expected a matrix \(U, I\), a table of recommendations, a model with a method score, or a function"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, f"{FORMS} .*, got NoneType"),
        ("ease", f"{FORMS} .*, got str"),
        ({}, f"{FORMS} .*, got dict"),
        ({1}, f"{FORMS} .*, got set"),
        (object(), f"{FORMS} .*, got object"),
        (Model, f"{FORMS} .*, got the class Model itself"),
        (lambda users: None, "expected an array of numbers, found None"),
        (Model(np.full((999, 3), "a")), "expected an array of numbers, got one of <U1"),
        ([[1, 2], [3]], "expected an array of numbers, got list of uneven parts"),
    ],
)
def test_what_is_no_form_of_scores_is_refused(run: LoadedRun, scores: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^scores: {message}"):
        ncf.evaluate(scores, run)


def test_matrices_without_numbers_are_refused_in_a_line(run: LoadedRun, matrix: np.ndarray) -> None:
    wrong = [
        matrix.astype(str), matrix.astype("datetime64[s]"), matrix.astype(complex),
        np.where(matrix > matrix.mean(), None, matrix),
        np.ma.masked_less(matrix, matrix.mean()), sparse.csr_matrix(matrix), sparse.coo_array(matrix),
        torch.tensor(matrix).to_sparse(), torch.tensor(matrix).cfloat(), torch.tensor(matrix).to("meta"),
    ]  # fmt: skip
    for scores in wrong:
        with pytest.raises(DataError, match=r"^scores: expected [^\n]*$"):
            ncf.evaluate(scores, run)


def test_a_run_is_taken_for_the_split_of_its_users_and_items_only(run: LoadedRun) -> None:
    split = run.split
    other = dataclasses.replace(split, user_ids=split.user_ids + 1)
    with pytest.raises(
        DataError, match=r"^scores: expected a run with the users and items of the split, got LoadedRun"
    ):
        ncf.evaluate(run, other)


def test_wrong_tables_are_refused_by_column_and_row(run: LoadedRun, table: pd.DataFrame) -> None:
    wrong = {
        "numbers in column 'score', found 'a' in row 3": table.assign(score=[1, 1, 1, "a", *[1] * (len(table) - 4)]),
        "numbers in column 'score', found '2020-01-01 00:00:00' in row 0": table.assign(score=pd.Timestamp("2020")),
        "one column 'score', found 2 of them": pd.concat([table, table[["score"]]], axis=1),
        "one column 'user_id', found 2 of them": pd.concat([table, table[["user_id"]]], axis=1),
        "a value in column 'score' of each row, found none in row 0": table.assign(score=np.nan),
        "a value in column 'item_id' of each row, found none in row 0": table.assign(item_id=np.nan),
    }
    for message, frame in wrong.items():
        with pytest.raises(DataError, match=f"^scores: expected {message}$"):
            ncf.evaluate(frame, run)


def test_a_table_of_what_users_have_lists_nothing(run: LoadedRun) -> None:
    split = run.split
    train = pd.DataFrame({"user_id": split.user_ids[split.train.users], "item_id": split.item_ids[split.train.items]})
    train = train.assign(score=1.0)
    for part in ("valid", "test"):
        with pytest.raises(
            DataError,
            match=rf"^scores: expected at least 3 items, .* not have in train, found 0 for user .* too few for "
            rf"{split.num_users} of {split.num_users} users; give more items a user, as run\.recommend\(\.\.\., "
            r"leave_out='train'\) does, or smaller cutoffs=\[\.\.\.\]$",
        ):
            ncf.evaluate(train, run, part=part, cutoffs=[3])  # type: ignore[arg-type]
    best = run.recommend(split.user_ids, 2, leave_out="train")
    with pytest.raises(DataError, match=r"found 2 for user"):
        ncf.evaluate(pd.concat([best, train]), run, part="valid", cutoffs=[3])
    both = pd.concat([best, train])
    assert ncf.evaluate(both, run, part="valid", cutoffs=[2]) == ncf.evaluate(best, run, part="valid", cutoffs=[2])


def test_a_user_with_few_items_left_needs_no_more_than_those(run: LoadedRun, table: pd.DataFrame) -> None:
    split = run.split
    most = max(split.num_items - np.bincount(split.train.users))
    everything = run.recommend(split.user_ids, split.num_items, leave_out="train")
    assert everything.groupby("user_id").size().min() < most
    assert ncf.evaluate(everything, run, cutoffs=[int(most)])


def test_a_list_that_validation_items_shorten_is_logged(run: LoadedRun, caplog: pytest.LogCaptureFixture) -> None:
    split = run.split
    held = pd.DataFrame({"user_id": split.user_ids[split.valid.users], "item_id": split.item_ids[split.valid.items]})
    best = run.recommend(split.user_ids, 3, leave_out="all")
    first = pd.concat([held.assign(score=1e6), best[best["rank"] < 3]])[["user_id", "item_id", "score"]]
    with caplog.at_level(logging.WARNING):
        ncf.evaluate(first, run, cutoffs=[2])
        assert "the lists of" not in caplog.text
        ncf.evaluate(first, run, cutoffs=[3])
    assert f"the lists of {split.num_users} of {split.num_users} users hold fewer than 3 items without" in caplog.text


def test_lists_without_any_held_out_item_are_told(run: LoadedRun, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ncf.evaluate(run.recommend(run.split.user_ids, 3, leave_out="train"), run, cutoffs=[2])
        assert "none of the" not in caplog.text
        ncf.evaluate(run.recommend(run.split.user_ids, 3), run, cutoffs=[3])
    assert "none of the" in caplog.text
    assert "leave_out='train'" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"cutoffs": 3}, {"cutoffs": None}, {"cutoffs": "3"}, {"cutoffs": [2.5]}, {"cutoffs": []}, {"cutoffs": [True]},
        {"metrics": "ndcg"}, {"metrics": None}, {"metrics": [3]}, {"part": ["test"]}, {"part": None}, {"ties": 3},
        {"split": "x"}, {"split": None},
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line(run: LoadedRun, matrix: np.ndarray, wrong: dict[str, Any]) -> None:
    with pytest.raises(NcfError, match=rf"^[a-z.]*{next(iter(wrong))}[.0-9]*: expected [^\n]*$"):
        ncf.evaluate(matrix, **{"split": run, **wrong})


def test_cut_offs_may_be_of_numpy(run: LoadedRun, matrix: np.ndarray) -> None:
    expected = ncf.evaluate(matrix, run, cutoffs=[3])
    for cutoffs in ([np.int64(3)], np.array([3]), (3,), range(3, 4)):
        assert ncf.evaluate(matrix, run, cutoffs=cutoffs) == expected  # type: ignore[arg-type]
