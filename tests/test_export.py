"""`python -m ncf.export`: the vectors and the program that other programs read are the model's scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from finished_runs import FinishedRuns

import ncf
from ncf import export
from ncf.errors import ConfigError, DataError
from ncf.export import ExportError


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["gmf", "mf", "als", "ials", "puresvd"])
def test_inner_products_of_the_exported_vectors_are_the_scores(name: str, runs: FinishedRuns, tmp_path: Path) -> None:
    """Biases and output weights are folded in, so that an index of inner products finds what the model would."""
    export.main([f"run={runs[name]}", f"output={tmp_path}", "forms=npy"])
    assert written(tmp_path) == {"items.npy", "item_ids.npy", "users.npy", "user_ids.npy"}
    run = ncf.load(runs[name])
    users, items = np.load(tmp_path / "users.npy"), np.load(tmp_path / "items.npy")
    assert users.dtype == items.dtype == np.float32
    assert np.load(tmp_path / "user_ids.npy").tolist() == run.split.user_ids.tolist()
    assert np.load(tmp_path / "item_ids.npy").tolist() == run.split.item_ids.tolist()
    scores = run.score(run.split.user_ids)
    np.testing.assert_allclose(users @ items.T, scores, rtol=1e-5, atol=1e-5)
    assert (np.argsort(users @ items.T, kind="stable")[:, -1] == np.argsort(scores, kind="stable")[:, -1]).mean() > 0.9


def test_vectors_and_program_are_written_by_default(
    runs: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export.main([f"run={runs['gmf']}", f"output={tmp_path}"])
    assert written(tmp_path) == {"items.npy", "item_ids.npy", "users.npy", "user_ids.npy", "model.pt2"}
    said = capsys.readouterr()
    assert said.err == ""
    assert {Path(line).name for line in said.out.splitlines()} == written(tmp_path)


@pytest.mark.parametrize("name", ["neumf", "mlp"])
def test_a_score_that_is_no_inner_product_is_left_out_by_default_and_refused_when_asked_for(
    name: str, runs: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export.main([f"run={runs[name]}", f"output={tmp_path}"])
    assert written(tmp_path) == {"model.pt2"}
    said = capsys.readouterr().err
    assert said.startswith("skipped: vectors: the score of ")
    assert said.count("\n") == 1
    for forms in ("npy", "npy,model", "parquet"):
        with pytest.raises(
            DataError,
            match=r"^vectors: the score of \w+ is not an inner product of vectors, as that of gmf is; forms=model",
        ):
            export.main([f"run={runs[name]}", f"output={tmp_path / forms}", f"forms={forms}"])
        assert written(tmp_path / forms) == set()


@pytest.mark.parametrize("name", ["neumf", "ials"])
def test_the_program_gives_the_scores_of_a_batch_of_any_size(name: str, runs: FinishedRuns, tmp_path: Path) -> None:
    export.main([f"run={runs[name]}", f"output={tmp_path}", "forms=model"])
    program, model = torch.export.load(tmp_path / "model.pt2").module(), ncf.load(runs[name]).model
    for count in (1, 60):
        users = torch.arange(count)
        torch.testing.assert_close(program(users), model.score(users), rtol=1e-5, atol=1e-6)


def test_parquet_has_the_ids_and_the_vectors_of_npy(runs: FinishedRuns, tmp_path: Path) -> None:
    export.main([f"run={runs['gmf']}", f"output={tmp_path}", "forms=npy,parquet"])
    for what in ("users", "items"):
        frame = pd.read_parquet(tmp_path / f"{what}.parquet")
        assert np.array_equal(np.stack(frame["vector"]), np.load(tmp_path / f"{what}.npy"))
        assert frame["id"].tolist() == np.load(tmp_path / f"{what[:-1]}_ids.npy").tolist()


def test_what_cannot_be_exported_says_so(runs: FinishedRuns, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="EASE scores from histories"):
        export.main([f"run={runs['ease']}", f"output={tmp_path}", "forms=model"])
    with pytest.raises(DataError, match="the score of Popularity is not an inner product"):
        export.main([f"run={runs['popularity']}", f"output={tmp_path}", "forms=npy"])
    with pytest.raises(ConfigError, match="forms: expected some of npy, parquet, model, got 'onnx'"):
        export.main([f"run={runs['ease']}", f"output={tmp_path}", "forms=onnx"])
    assert written(tmp_path) == set()


def test_a_run_of_which_nothing_can_be_written_is_an_error(
    runs: FinishedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match="EASE scores from histories"):
        export.main([f"run={runs['ease']}", f"output={tmp_path}"])
    assert capsys.readouterr().err.startswith("skipped: vectors: ")


def test_a_program_that_gives_other_scores_is_not_kept(
    runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.Score, "forward", lambda self, users: self.model.score(users) + 1)
    with pytest.raises(ExportError, match=r"model\.pt2: the exported program's scores differ from the model's"):
        export.main([f"run={runs['ials']}", f"output={tmp_path}", "forms=model"])
    assert written(tmp_path) == set()


def test_a_missing_library_is_named(runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **keys: object) -> None:
        raise ImportError("no parquet engine")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", missing)
    with pytest.raises(ExportError, match=r"forms=parquet: pyarrow is not installed; pip install 'ncf\[export\]'"):
        export.main([f"run={runs['gmf']}", f"output={tmp_path}", "forms=parquet"])
    assert written(tmp_path) == set()


def test_an_output_that_cannot_be_written_is_named(runs: FinishedRuns) -> None:
    with pytest.raises(ConfigError, match=r"^output: cannot write to /proc/none \("):
        export.main([f"run={runs['popularity']}", "output=/proc/none"])
