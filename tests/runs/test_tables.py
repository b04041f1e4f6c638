"""Reading runs back: the table says what the folders say, and refuses runs that cannot be compared."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from toys import compose, small

from ncf.errors import DataError, NcfError
from ncf.runs.tables import finished_runs, read_runs, read_users
from ncf.study import load, verdict
from ncf.train import train

STUDY = Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml"
CHOICES = {
    "bce": ("loss=bce", "seed=1"),
    "focal": ("loss=focal", "loss.gamma=2.0", "loss.alpha=0.25", "seed=1", f"registration='{STUDY}'"),
    "balanced": ("loss=alpha_bce", "loss.alpha=balanced", "seed=2", "neg_ratio=4"),
    "wide": ("loss=bce", "seed=1", "model.gmf_factors=4"),
}


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder with one really trained run for each of `CHOICES`."""
    sweep = tmp_path_factory.mktemp("sweep")
    for name, choice in CHOICES.items():
        (sweep / name).mkdir()
        train(compose(*small(root, *choice, "trainer.epochs=1")), sweep / name)
    return sweep


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained` that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "sweep"))


def result_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "result.json").read_text()))


def spoil(folder: Path, key: str, value: Any) -> None:
    """Set a dotted key of the run's result."""
    result = result_of(folder)
    *path, last = key.split(".")
    place = result
    for step in path:
        place = place[step]
    place[last] = value
    (folder / "result.json").write_text(json.dumps(result))


def test_a_row_says_what_the_result_says(sweep):
    table = read_runs([sweep]).set_index("run")
    assert sorted(table.index) == sorted(CHOICES)
    for name in CHOICES:
        result = result_of(sweep / name)
        for part in ("valid", "test"):
            assert {metric: table.loc[name, f"{part}/{metric}"] for metric in result[part]} == result[part]
            assert table.loc[name, f"{part}/tied"] == result["tied_positives"][part]
        assert table.loc[name, "config_hash"] == result["config_hash"]
        assert table.loc[name, ["best_epoch", "epochs", "seed"]].tolist() == [1, 1, result["seed"]]
    assert table.loc["focal", "registration"] == load(STUDY).sha256
    assert table["registration"].isna().sum() == 3


def test_weights_are_numbers_and_other_differences_columns(sweep):
    table = read_runs([sweep]).set_index("run")
    assert table.loc["balanced", "alpha"] == 4 / 5
    assert table.loc["focal", ["gamma", "alpha"]].tolist() == [2.0, 0.25]
    assert table.loc[["bce", "wide"], ["gamma", "alpha"]].isna().all(axis=None)
    assert table["model.gmf_factors"].to_dict() == {"bce": 8, "focal": 8, "balanced": 8, "wide": 4}
    assert not [column for column in table.columns if column.startswith(("trainer.", "data.", "optimizer."))]


def test_a_default_that_an_identity_leaves_out_is_not_an_empty_cell(sweep):
    """A dropout of 0 came later than the first runs and stays out of their ids; the run has it all the same."""
    spoil(sweep / "wide", "config.model.dropout", 0.5)
    spoil(sweep / "focal", "config.model", {"name": "gmf", "factors": 8})
    table = read_runs([sweep]).set_index("run")
    assert table["model.dropout"].drop("focal").to_dict() == {"bce": 0.0, "balanced": 0.0, "wide": 0.5}
    assert table["model.dropout"].isna()["focal"]  # GMF has none


def test_the_verdict_reads_the_table(sweep):
    judged = verdict(load(STUDY), read_runs([sweep / "bce", sweep / "focal"]))
    assert {c.finding for v in judged for c in v.comparisons} == {"incomplete"}


def test_users_have_the_metrics_of_the_run(sweep):
    runs = read_runs([sweep]).set_index("run")
    for part in ("valid", "test"):
        users = read_users([sweep], part)
        assert users.groupby("run").size().nunique() == 1
        assert users["user_id"].dtype == "int64"
        means = users.groupby("run")[["hit@10", "ndcg@5", "mrr"]].mean()
        for metric in means:
            assert means[metric].to_dict() == pytest.approx(runs[f"{part}/{metric}"].to_dict(), abs=1e-12)


def test_ids_that_are_no_plain_numbers_stay_text(sweep):
    path = sweep / "bce" / "ranks.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(row.replace(",", ",0", 1) for row in rows)]) + "\n")
    users = read_users([sweep / "bce"])
    assert users["user_id"].str.startswith("0").all()


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("data_digest", "0" * 64, "data_digest"),
        ("config.split.ties", "item_id", "split.ties: 'file' and 'item_id'"),
        ("config.evaluation.cutoffs", [10], "evaluation.cutoffs"),
        ("config.trainer.batch_size", 11, "trainer.batch_size: 660 and 11"),
        ("config.trainer.patience", 3, "trainer.patience: 10 and 3"),
    ],
)
def test_runs_of_another_protocol_are_refused(sweep, key, value, named):
    spoil(sweep / "focal", key, value)
    with pytest.raises(DataError, match=r"bce, focal differ in ") as caught:
        read_runs([sweep / "bce", sweep / "focal"])
    assert named in str(caught.value)


def as_fold(folder: Path, fold: int, digest: str) -> None:
    """Let a run say that it was one of three folds."""
    split = {"name": "random", "by": "user", "valid": 0.1, "test": 0.1, "folds": 3, "fold": fold, "seed": 0}
    spoil(folder, "config.split", split)
    spoil(folder, "data_digest", digest * 64)


def test_folds_of_one_division_are_one_table_and_named(sweep):
    for name, fold in {"bce": 0, "focal": 0, "balanced": 1, "wide": 2}.items():
        as_fold(sweep / name, fold, str(fold))
    assert read_runs([sweep]).set_index("run")["split.fold"].to_dict() == {
        "bce": 0, "focal": 0, "balanced": 1, "wide": 2,
    }  # fmt: skip
    assert "split.fold" not in read_runs([sweep / "bce", sweep / "focal"])  # as before: one fold is one split


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("data_digest", "9" * 64, "bce, focal differ in data_digest"),  # of the same fold
        ("config.split.seed", 1, "split.seed: 0 and 1"),
        ("config.split.folds", 4, "split.folds: 3 and 4"),
        ("config.split.folds", None, "split.folds: 3 and None"),
        ("config.evaluation.cutoffs", [10], "evaluation.cutoffs"),
        ("config.trainer.batch_size", 11, "trainer.batch_size"),
    ],
)
def test_folds_differ_in_nothing_else_of_the_protocol(sweep, key, value, named):
    for name, fold in {"balanced": 1, "bce": 0, "focal": 0}.items():
        as_fold(sweep / name, fold, str(fold))
    read_runs([sweep / name for name in ("balanced", "bce", "focal")])
    spoil(sweep / "focal", key, value)
    with pytest.raises(DataError, match="cannot compare runs of different protocols: ") as caught:
        read_runs([sweep / name for name in ("balanced", "bce", "focal")])
    assert named in str(caught.value)


def test_folds_of_other_data_are_refused(sweep):
    as_fold(sweep / "bce", 0, "0"), as_fold(sweep / "focal", 1, "1")
    spoil(sweep / "focal", "config.data.threshold", 2)
    with pytest.raises(DataError, match=r"bce, focal differ in data\.threshold"):
        read_runs([sweep / "bce", sweep / "focal"])


def test_what_changes_no_result_may_differ(sweep):
    for key, value in {"threads": 2, "progress": True, "checkpoint_every": "5s"}.items():
        spoil(sweep / "focal", f"config.trainer.{key}", value)
    spoil(sweep / "focal", "config.data.root", "/elsewhere")
    assert len(read_runs([sweep])) == 4


def test_runs_from_before_a_setting_was_there_have_its_default(sweep):
    result = result_of(sweep / "focal")
    for key in ("compile", "precision", "cuda_graph"):
        del result["config"]["trainer"][key]
    (sweep / "focal" / "result.json").write_text(json.dumps(result))
    assert len(read_runs([sweep])) == 4
    spoil(sweep / "bce", "config.trainer.precision", "bfloat16")
    with pytest.raises(DataError, match=r"trainer\.precision: 'bfloat16' and None"):
        read_runs([sweep / "bce", sweep / "focal"])


def test_another_format_is_refused_with_its_version(sweep):
    spoil(sweep / "focal", "format", 99)
    spoil(sweep / "focal", "versions.ncf", "7.0")
    with pytest.raises(DataError, match=r"focal.result\.json: expected result format 1 .*found 99 \(ncf 7\.0\)"):
        read_runs([sweep])


@pytest.mark.parametrize("key", ["config", "test", "tied_positives", "versions", "registration"])
def test_a_result_without_a_key_is_refused(sweep, key):
    result = result_of(sweep / "focal")
    del result[key]
    (sweep / "focal" / "result.json").write_text(json.dumps(result))
    with pytest.raises(DataError, match=rf"focal.result\.json: damaged.*{key}"):
        read_runs([sweep])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.replace("rank", "place", 1),
        lambda text: text.replace("\ntest", "\nvalid", 1),
        lambda text: text[:-20],
    ],
    ids=["empty", "header", "rows moved", "cut off"],
)
def test_damaged_ranks_are_refused(sweep, damage):
    path = sweep / "focal" / "ranks.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=r"focal.ranks\.csv"):
        _ = [read_users([sweep], part) for part in ("valid", "test")]


def test_a_folder_without_runs_is_refused(sweep, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: expected a finished run"):
        finished_runs([sweep, tmp_path / "empty"])


def test_each_run_is_read_once_and_halves_are_not(sweep):
    (sweep / "wide" / "result.json").unlink()
    assert [run.name for run in finished_runs([sweep / "focal", sweep])] == ["focal", "balanced", "bce"]


@pytest.mark.parametrize(
    "config", [{}, {"loss": 3}, {"loss": {"name": "bce"}, "model": 3}, {"evaluation": 3}, {"loss": [1], "seed": {}}]
)
def test_settings_that_are_none_are_refused_with_the_run(sweep, config):
    path = sweep / "focal" / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"config": config and result["config"] | config}))
    with pytest.raises(NcfError):
        read_runs([sweep])


def test_pipes_and_devices_in_place_of_a_result_stall_nothing(sweep):
    for replace in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (sweep / "focal" / "result.json").unlink()
        replace(sweep / "focal" / "result.json")
        with pytest.raises(DataError, match="expected a regular file"):
            read_runs([sweep])
