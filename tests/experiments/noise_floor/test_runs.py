"""Rows of the table stay, and finished runs are added once; the registration is what the sweep runs."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.noise_floor import runs


def test_the_registration_has_pairs_of_fresh_seeds() -> None:
    registration = runs.registration()
    assert runs.registered() == 60
    assert list(registration.seeds_at(10)) == list(range(520_000, 520_030))


def test_rows_are_added_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pd.DataFrame(
        [{**dict.fromkeys(runs.COLUMNS, 1.0), "run": f"r{n}", "seed": n, "loss": "bce"} for n in (2, 1)]
    )
    monkeypatch.setattr(runs, "read_runs", lambda folders: made)
    path = tmp_path / "results.csv"
    assert runs.table(path).empty
    assert runs.collect(tmp_path, path)["run"].tolist() == ["r1", "r2"]
    kept = path.read_bytes()
    made["test/ndcg@10"] = 2.0  # what is in the table is not touched
    runs.collect(tmp_path, path)
    assert path.read_bytes() == kept
    assert runs.collect(tmp_path / "none", path)["test/ndcg@10"].tolist() == [1, 1]
