"""Rows of the table stay, and finished runs are added once; the registration is what the sweep runs."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.noise_floor import runs
from ncf.errors import DataError


def test_the_registration_has_pairs_of_fresh_seeds() -> None:
    registration = runs.registration()
    assert runs.registered() == 60
    assert list(registration.seeds_at(10)) == list(range(520_000, 520_030))


def test_rows_are_added_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = dict.fromkeys(runs.COLUMNS, 1.0) | {"loss": "bce", "registration": runs.registration().sha256}
    made = pd.DataFrame([{**fixed, "run": f"r{n}", "seed": n} for n in (2, 1)])
    monkeypatch.setattr(runs, "read_runs", lambda folders: made)
    path = tmp_path / "results.csv"
    assert runs.table(path).empty
    assert runs.collect(tmp_path, path)["run"].tolist() == ["r1", "r2"]
    kept = path.read_bytes()
    made["test/ndcg@10"] = 2.0  # what is in the table is not touched
    runs.collect(tmp_path, path)
    assert path.read_bytes() == kept
    assert runs.collect(tmp_path / "none", path)["test/ndcg@10"].tolist() == [1, 1]


def test_a_damaged_table_or_one_of_another_registration_is_refused(tmp_path: Path) -> None:
    path, rows = tmp_path / "results.csv", runs.table()
    for wrong, said in (
        (rows.assign(registration="f" * 64), "SHA-256"), (pd.concat([rows, rows.iloc[:1]]), "each run once"),
        (rows.drop(columns="seed"), "columns"),
    ):  # fmt: skip
        wrong.to_csv(path, index=False)
        with pytest.raises(DataError, match=said):
            runs.table(path)
    path.write_text("")
    with pytest.raises(DataError, match="expected a table"):
        runs.table(path)
