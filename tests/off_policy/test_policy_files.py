"""A policy in a file: by user, position or neither, and what is wrong with it by name."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.data.feedback import LoggedFeedback
from ncf.errors import DataError
from ncf.off_policy.policies import softmax
from ncf.off_policy.policy_files import Policy, catalogue, codes_of, places, read_policy


@pytest.fixture
def log() -> LoggedFeedback:
    return LoggedFeedback(
        np.array([7, 9, 7, 9]), np.full(4, 0.5), np.ones(4), user=np.array(["a", "b", "a", "b"], object),
        position=np.array([1, 1, 2, 2]), label="log.csv",
    )  # fmt: skip


def read(folder: Path, rows: dict[str, list], log: LoggedFeedback, **options: object) -> Policy:
    path = folder / "policy.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return read_policy(path, log, catalogue(log), **options)  # type: ignore[arg-type]


def test_one_distribution_for_all(tmp_path: Path, log: LoggedFeedback) -> None:
    found = read(tmp_path, {"item": [9, 7, 8], "probability": [0.5, 0.2, 0.3]}, log)
    assert found.items.tolist() == ["9", "7", "8"]
    assert found.chances.at(codes_of(found.items, log)).tolist() == [0.2, 0.5, 0.2, 0.5]


def test_by_user_and_position_with_what_is_left_out_never_shown(tmp_path: Path, log: LoggedFeedback) -> None:
    rows = {"user": ["a", "a", "a", "b", "b"], "position": [1, 1, 2, 1, 2], "item": [7, 9, 7, 9, 7],
            "probability": [0.25, 0.75, 1, 1, 1]}  # fmt: skip
    found = read(tmp_path, rows, log)
    assert found.chances.at(codes_of(found.items, log)).tolist() == [0.25, 1, 1, 0]


def test_scores_become_probabilities(tmp_path: Path, log: LoggedFeedback) -> None:
    rows = {"user": ["a", "a", "b"], "item": [7, 9, 9], "score": [0.0, 1.0, 5.0]}
    found = read(tmp_path, rows, log, chances=partial(softmax, temperature=1.0))
    np.testing.assert_allclose(found.chances.at(codes_of(found.items, log)), [1 / (1 + np.e), 1, 1 / (1 + np.e), 1])


def test_json_by_item_and_position(tmp_path: Path, log: LoggedFeedback) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"p": [[0.1, 0.6], [0.9, 0.4]]}))
    found = read_policy(path, log, catalogue(log))
    assert found.chances.at(codes_of(found.items, log)).tolist() == [0.1, 0.9, 0.6, 0.4]
    path.write_text(json.dumps({"p": [0.1, 0.9]}))
    assert read_policy(path, log, catalogue(log)).chances.values.tolist() == [[0.1, 0.9]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"item": [7, 9], "probability": [0.5, 0.4]}, r"policy.csv: expected probabilities that sum to 1, found 0.9$"),
        ({"item": [7, 9], "probability": [1.5, -0.5]}, "expected no negative probabilities, found -0.5"),
        ({"item": [7, 9, 7], "probability": [0.5, 0.5, 0]}, "row 3: expected each item once, found 7 again"),
        ({"item": [7, 9], "probability": ["a", "b"]}, "row 1: expected probability as a number"),
        ({"item": [7, 9], "chance": [0.5, 0.5]}, "expected a column 'probability'"),
        ({"item": [7, 9], "probability": [0.5, None]}, "found 1 of probability"),
        ({"user": ["a", "b"], "item": [7, 9], "probability": [1, 0.9]}, "sum to 1, found 0.9 for user b"),
        ({"user": ["a"], "item": [7], "probability": [1]}, r"for user b \(log.csv, row 2\), found none"),
        ({"position": [1], "item": [7], "probability": [1]}, r"for position 2 \(log.csv, row 3\), found none"),
    ],
)
def test_a_policy_that_is_none(tmp_path: Path, log: LoggedFeedback, rows: dict[str, list], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, rows, log)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "a row of probabilities for each item"),
        ('{"p": [[0.1, 0.6]]}', "expected probabilities of 2 items at 1 or 2 positions, found shape"),
        ('{"p": [[0.1, 0.6], [0.9]]}', "a row of probabilities for each item"),
        ('{"p": [[0.1, 0.6], [0.8, 0.4]]}', "sum to 1, found 0.9 at position 1"),
        ('{"p": [NaN, 1]}', "finite"),
        ("[", "cannot be read"),
    ],
)
def test_json_that_is_none(tmp_path: Path, log: LoggedFeedback, content: str, message: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_policy(path, log, catalogue(log))


def test_an_item_outside_the_policy_is_named(tmp_path: Path, log: LoggedFeedback) -> None:
    found = read(tmp_path, {"item": [7], "probability": [1]}, log)
    with pytest.raises(
        DataError, match=r"log.csv, row 2: expected an item that the policy has a probability for, found 9"
    ):
        codes_of(found.items, log)


def test_a_policy_by_user_needs_users_in_the_log(tmp_path: Path) -> None:
    log = LoggedFeedback(np.array([7, 9]), np.full(2, 0.5), np.ones(2), label="log.csv")
    with pytest.raises(
        DataError, match=r"log.csv: expected a column user, which .* depends on, found none; user=<column> says"
    ):
        read(tmp_path, {"user": [1], "item": [7], "probability": [1]}, log)
    assert places(log).tolist() == [0, 0]
