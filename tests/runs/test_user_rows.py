"""Models around mapped weights score as loaded ones do; vectors of some users are rows of those of all."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from finished_runs import FinishedRuns

import ncf
from ncf import models
from ncf.core.config import component
from ncf.errors import CheckpointError, DataError
from ncf.runs import checkpoint, loading, user_rows
from ncf.runs.identity import completed
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.user_rows import tables_of_users, user_vectors

ALL = [
    "neumf",
    "mlp",
    "gmf",
    "mf",
    "als",
    "ials",
    "puresvd",
    "ease",
    "item_knn",
    "popularity",
    "content",
    "mf_features",
]


def mapped(folder: Path) -> LoadedRun:
    return loading.load(folder, mapped=True)


def make_of(run: LoadedRun) -> partial[Any]:
    found: partial[Any] = component("model", models.MODELS, completed(run.result["config"])["model"])
    return found


@pytest.mark.parametrize("name", ALL)
def test_a_mapped_run_scores_to_the_bit_as_a_loaded_one(name: str, runs: FinishedRuns) -> None:
    run, other = ncf.load(runs[name]), mapped(runs[name])
    assert (run.score(run.split.user_ids) == other.score(run.split.user_ids)).all()
    assert not other.model.training


@pytest.mark.parametrize("name", ["gmf", "neumf", "mf", "als"])
def test_the_weights_of_a_mapped_run_are_those_in_the_file(name: str, runs: FinishedRuns, monkeypatch: Any) -> None:
    found: list[Any] = []
    of_result = checkpoint.of_result
    monkeypatch.setattr(checkpoint, "of_result", lambda *a: found.append(of_result(*a)) or found[0])
    model = mapped(runs[name]).model
    low, high = found[0]._mapping.ranges[0]
    for key, weight in model.state_dict().items():
        assert weight.data_ptr() == found[0].best[key].data_ptr()
        assert low <= weight.data_ptr() < high


def test_a_damaged_file_is_refused_when_it_is_mapped(runs: FinishedRuns, tmp_path: Path) -> None:
    """One bit of the weights, which torch alone would not notice."""
    for name in ("result.json", "checkpoint.pt"):
        (tmp_path / name).write_bytes((runs["gmf"] / name).read_bytes())
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    content = bytearray((tmp_path / "checkpoint.pt").read_bytes())
    row = saved.best["tower.users.weight"][17].numpy().tobytes()
    content[content.index(row) + 3] ^= 1
    (tmp_path / "checkpoint.pt").write_bytes(content)
    for whether in (False, True):
        with pytest.raises(CheckpointError, match="its content does not match its SHA-256"):
            loading.load(tmp_path, mapped=whether)


def test_weights_of_another_epoch_are_refused_when_they_are_mapped(runs: FinishedRuns, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes((runs["gmf"] / "result.json").read_bytes())
    saved = checkpoint.load(runs["gmf"])
    assert saved is not None
    other = {name: weight + 1 for name, weight in saved.best.items()}
    kept = {key: value for key, value in saved.state().items() if value is not None}
    checkpoint.save(tmp_path, {**kept, "best": other})
    with pytest.raises(CheckpointError, match=r"holds the weights of another epoch than result\.json"):
        mapped(tmp_path)


@pytest.mark.parametrize("name", ["gmf", "mf", "als", "ials", "puresvd", "content", "mf_features"])
@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_vectors_of_some_users_are_rows_of_those_of_all(
    name: str, at_once: int, runs: FinishedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_rows, "_AT_ONCE", at_once)
    run = mapped(runs[name])
    whole = run.model.user_vectors()
    assert whole is not None
    for first, end in ((0, 60), (0, 1), (13, 29), (59, 60)):
        found = list(user_vectors(run, first, end))
        assert [start for start, _ in found] == list(range(first, end, at_once))
        assert torch.equal(torch.cat([vectors for _, vectors in found]), whole[first:end])
    [(start, vectors)] = user_vectors(run, 20, 20)
    assert torch.equal(vectors, whole[start : start + 1])


@pytest.mark.parametrize("name", ALL)
def test_users_are_told_from_all_else_by_the_shapes_of_weights(name: str, runs: FinishedRuns) -> None:
    run = mapped(runs[name])
    found = tables_of_users(run, make_of(run))
    expected = {
        "neumf": {"gmf.users.weight", "mlp.users.weight"}, "mlp": {"tower.users.weight"},
        "gmf": {"tower.users.weight"}, "mf": {"users.weight", "user_bias.weight"},
        "ials": {"users.weight"},
    }  # fmt: skip
    assert found == expected.get(name)


def test_a_score_that_is_no_inner_product_has_no_vectors(runs: FinishedRuns) -> None:
    for name in ("neumf", "ease"):
        with pytest.raises(
            DataError,
            match=r"^vectors: the score of \w+ is not an inner product of vectors, as that of gmf is; forms=model",
        ):
            next(user_vectors(mapped(runs[name]), 0, 5))


def test_weights_that_lie_in_a_sharded_checkpoint_alone_are_one_line(runs: FinishedRuns, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes((runs["gmf"] / "result.json").read_bytes())
    (tmp_path / checkpoint.SHARDED).mkdir()
    with pytest.raises(
        CheckpointError, match=r"\(found checkpoint.sharded alone, which resuming reads and nothing else\)"
    ):
        mapped(tmp_path)
