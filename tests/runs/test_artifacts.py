"""What a run leaves behind: results of known formats, the epochs it has behind it, and what code ran."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

import ncf
from ncf.errors import DataError
from ncf.runs import artifacts
from ncf.runs.artifacts import EPOCHS, FORMAT, RESULT, EpochLog, read_result, write_result

FINISHED = {
    "valid": {"mrr": 0.2},
    "test": {"mrr": 0.1},
    "config": {"seed": 1},
    "config_hash": "abc",
    "data_digest": "d",
}


def test_a_result_comes_back(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    write_result(tmp_path, FINISHED)
    assert read_result(tmp_path) == {"format": FORMAT, **FINISHED}


@pytest.mark.parametrize("key", FINISHED)
def test_a_result_that_lacks_what_its_readers_need_is_refused(key: str, tmp_path: Path) -> None:
    write_result(tmp_path, {name: value for name, value in FINISHED.items() if name != key})
    found = rf"result\.json: damaged: key '{key}' of the result is invalid"
    with pytest.raises(DataError, match=found):
        read_result(tmp_path)


@pytest.mark.parametrize("change", [{"test": {}}, {"valid": [1]}, {"test": {"mrr": "x"}}, {"config": 3}], ids=str)
def test_a_result_with_other_kinds_of_values_is_refused(change: dict, tmp_path: Path) -> None:
    write_result(tmp_path, FINISHED | change)
    found = rf"result\.json: damaged: key '{next(iter(change))}.*' of the result is invalid"
    with pytest.raises(DataError, match=found):
        read_result(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "nonsense", "\0\1", "[" * 100_000], ids=lambda text: text[:9])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(DataError, match=r"result\.json: cannot be read as the result of a run"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    "content", [{}, {"format": 99, "versions": {"ncf": "9.9"}}, {"versions": 3}, {"format": "1"}, [], 3, None]
)
def test_a_result_of_another_format_is_refused_with_both_versions(tmp_path: Path, content: Any) -> None:
    (tmp_path / RESULT).write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"expected result format 1 \(ncf .*\), found"):
        read_result(tmp_path)


def test_the_environment_says_what_code_ran() -> None:
    environment = artifacts.environment()
    assert environment["versions"].keys() == {"ncf", "python", "torch", "numpy"}
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["commit"] is None or len(environment["commit"].removesuffix("-dirty")) == 40


def test_an_installed_package_has_no_commit_even_within_someone_s_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`site-packages` may lie below a checkout of something else, whose commit says nothing about this code."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "of something else"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(ncf, "__file__", str(tmp_path / "ncf" / "__init__.py"))
    try:
        for checkout in (False, True):
            if checkout:
                (tmp_path / "pyproject.toml").write_text("")
            artifacts._commit.cache_clear()
            assert (artifacts._commit() is not None) == checkout
    finally:
        artifacts._commit.cache_clear()


def test_the_epoch_log_starts_from_what_is_behind_a_run(tmp_path: Path) -> None:
    (tmp_path / EPOCHS).write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    log = EpochLog(tmp_path, [{"epoch": 1}])
    log.append({"epoch": 2, "train_loss": 0.5})
    lines = [json.loads(line) for line in (tmp_path / EPOCHS).read_text().splitlines()]
    assert lines == [{"epoch": 1}, {"epoch": 2, "train_loss": 0.5}]
