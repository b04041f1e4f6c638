"""From really trained runs to tables: every number in them is one that a run left behind."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from toys import compose, small

from ncf.core.signals import StopFlag
from ncf.errors import DataError
from ncf.evaluation.hypergeometric import expected_metrics
from ncf.report.collect import collect, flat, one_of_each
from ncf.report.study import COMPANIONS, Study
from ncf.study import load as load_registration
from ncf.train import train

REGISTRATION = """
question: Does it help?
alpha: 0.5
correction: holm
smallest_effect: 0.05
power: 0.8
interval_level: 0.95
resamples: 999
bootstrap_seed: 1
first_seed: 42
seeds: {4: 4}
pilot: []
metrics: [test/ndcg@10, test/hit@10]
arms:
  bce: {model: neumf, loss: bce}
  focal: {model: neumf, loss: focal, gamma: 2.0, alpha: 0.25}
hypotheses:
  H1:
    statement: It does.
    supported_if: all
    claims: [{says: higher, treatment: focal, baseline: bce, ratios: [4], metrics: [test/ndcg@10, test/hit@10]}]
grids:
  main:
    blocks: [{model: neumf, loss: bce}, {model: neumf, loss: focal, gamma: 2.0, alpha: 0.25}]
    seeds: {4: 4}
"""


@pytest.fixture(scope="module")
def sweep(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs: BCE and focal, four seeds, all with dynamics."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "registration.yaml").write_text(REGISTRATION)
    for loss in ("bce", "focal"):
        for seed in (42, 43, 44, 45):
            run = folder / f"{loss}-{seed}"
            run.mkdir()
            choice = (f"loss={loss}", f"seed={seed}", "neg_ratio=4", "dynamics=true", "trainer.epochs=2")
            train(compose(*small(root, *choice)), run, StopFlag())
    return folder


@pytest.fixture(scope="module")
def study(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    output = tmp_path_factory.mktemp("tables")
    return collect([sweep], load_registration(sweep / "registration.yaml"), output)


def test_every_companion_is_there_with_a_row_for_what_it_covers(sweep: Path, study: Study) -> None:
    sizes = {name: len(table) for name, table in study.companions.items()}
    assert sizes == {
        "curves": 8 * 2, "attention": 2 * 2, "selected": 8, "sampled": 8, "groups": 8 * 6, "users": 2,
        "ranks": len(ranks(sweep / "bce-42")),
    }  # fmt: skip
    assert study.finished == (8, 8)


def test_curves_are_the_epochs_of_the_runs(sweep: Path, study: Study) -> None:
    lines = [json.loads(line) for line in (sweep / "focal-43" / "metrics.jsonl").read_text().splitlines()]
    own = study.companions["curves"].query("run == 'focal-43'")
    assert own["epoch"].tolist() == [1, 2]
    assert own["ndcg@10"].tolist() == pytest.approx([line["ndcg@10"] for line in lines], rel=1e-5)
    assert own["train_loss"].tolist() == pytest.approx([line["train_loss"] for line in lines], rel=1e-5)


def test_dynamics_are_means_over_seeds_and_those_of_the_selected_epoch(sweep: Path, study: Study) -> None:
    files = [(sweep / f"focal-{seed}" / "dynamics.jsonl").read_text().splitlines() for seed in (42, 43, 44, 45)]
    second = [json.loads(lines[1]) for lines in files]
    row = study.companions["attention"].query("loss == 'focal' and epoch == 2").iloc[0]
    assert row["runs"] == 4
    expected = np.mean([line["negative"]["loss_share"][4] for line in second])
    assert row["negative_loss_share_4"] == pytest.approx(expected, rel=1e-4)
    best = study.runs.set_index("run").loc["focal-42", "best_epoch"]
    chosen = study.companions["selected"].set_index("run").loc["focal-42"]
    line = json.loads(files[0][best - 1])
    assert chosen["epoch"] == best
    assert chosen["ece"] == pytest.approx(line["calibration"]["ece"], rel=1e-5)
    assert chosen["held_out_rate"] == pytest.approx(line["held_out"]["rate"], rel=1e-5)


def ranks(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "ranks.csv")
    return table[table["split"] == "test"]


def test_sampled_metrics_come_from_the_saved_ranks(sweep: Path, study: Study) -> None:
    table = ranks(sweep / "bce-44")
    above = (table["rank"] - (table["tied"] + 1) / 2).round().astype(int).to_numpy()
    expected = expected_metrics(above, table["tied"].to_numpy(), table["candidates"].to_numpy(), 10)
    got = study.companions["sampled"].set_index("run").loc["bce-44"]
    assert got["ndcg@10"] == pytest.approx(expected["ndcg@10"].mean(), rel=1e-5)


def test_thirds_add_up_to_the_run(study: Study) -> None:
    groups = study.companions["groups"]
    assert set(groups["grouping"]) == {"user", "item"}
    for (run, _), rows in groups.groupby(["run", "grouping"]):
        whole = np.average(rows["ndcg@10"], weights=rows["positives"])
        assert whole == pytest.approx(study.runs.set_index("run").loc[run, "test/ndcg@10"], rel=1e-4)


def test_user_statistics_compare_mean_ranks(sweep: Path, study: Study) -> None:
    mean = {
        loss: sum(ranks(sweep / f"{loss}-{seed}").set_index("user_id")["rank"] for seed in (42, 43, 44, 45)) / 4
        for loss in ("bce", "focal")
    }
    row = study.companions["users"].query("metric == 'test/ndcg@10'").iloc[0]
    assert row["users_better"] == (mean["focal"] < mean["bce"]).sum()
    assert row["seeds"] == 4
    assert row["users"] == len(mean["bce"])
    found = study.comparisons()["focal", "bce", "test/ndcg@10", (4,)].result
    assert found
    assert row["difference"] == pytest.approx(found.effects["mean_difference"].estimate, rel=1e-4)


def test_statistics_over_users_follow_from_the_table_of_ranks_alone(study: Study) -> None:
    """Once more with numpy and scipy, from the tables that a third party has: two crossed random effects."""
    table = study.companions["ranks"]
    names = [[f"{loss}-{seed}" for seed in (42, 43, 44, 45)] for loss in ("focal", "bce")]
    cells = [np.char.partition(table[own].astype(str).to_numpy().T.astype(str), ":") for own in names]
    assert all((tied[..., 2] == "").all() for tied in cells)  # trained scores seldom tie
    rank_t, rank_b = (own[..., 0].astype(float) for own in cells)  # (seeds, users)
    t, b = ((rank <= 10) / np.log2(rank + 1) for rank in (rank_t, rank_b))
    change = t.mean() / b.mean() - 1
    values = (t - (1 + change) * b) / b.mean()
    s, u = values.shape
    rows, columns = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    of_seeds = rows.var(ddof=1) / s
    rest = ((values - rows - columns + values.mean()) ** 2).sum() / ((s - 1) * (u - 1)) / (s * u)
    of_users = max(columns.var(ddof=1) / u - rest, 0)
    half = np.hypot(np.sqrt(of_seeds) * stats.t.ppf(0.975, s - 1), np.sqrt(of_users) * stats.t.ppf(0.975, u - 1))
    row = study.companions["users"].query("metric == 'test/ndcg@10'").iloc[0]
    assert row[["change", "change_low", "change_high"]].tolist() == pytest.approx(
        [change, change - half, change + half], rel=1e-5
    )
    assert row["users_better"] == (rank_t.mean(0) < rank_b.mean(0)).sum()


def test_without_ranks_and_dynamics_their_companions_are_left_out(sweep: Path, tmp_path: Path) -> None:
    for run in ("bce-42", "focal-42"):
        (tmp_path / run).mkdir()
        for file in ("result.json", "metrics.jsonl"):
            (tmp_path / run / file).write_bytes((sweep / run / file).read_bytes())
    study = collect([tmp_path], load_registration(sweep / "registration.yaml"), tmp_path / "out")
    assert [name for name, table in study.companions.items() if not table.empty] == ["curves"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.csv",
        "protocol.json",
        COMPANIONS["curves"],
    }


def test_of_two_folders_of_one_run_the_one_with_dynamics_counts(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "a-copy").mkdir()
    (tmp_path / "a-copy" / "result.json").write_bytes((sweep / "bce-42" / "result.json").read_bytes())
    assert one_of_each([tmp_path / "a-copy", sweep / "bce-42", sweep / "bce-43"]) == [
        sweep / "bce-42",
        sweep / "bce-43",
    ]


def test_collected_again_at_another_time_the_tables_are_the_same_bytes(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = load_registration(sweep / "registration.yaml")
    for name, now in (("a", 1e9), ("b", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        collect([sweep], registration, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 2 + len(COMPANIONS)
    assert [f for f in files if (tmp_path / "a" / f).read_bytes() != (tmp_path / "b" / f).read_bytes()] == []


def test_a_line_of_dynamics_as_columns() -> None:
    line = {"epoch": 1, "positive": {"rows": 5, "histogram": [0.1, 0.9]}, "calibration": {"ece": 0.2, "rows": [3, 4]}}
    assert flat(line) == {
        "epoch": 1, "positive_rows": 5, "positive_histogram_0": 0.1, "positive_histogram_1": 0.9, "ece": 0.2,
        "rows_0": 3, "rows_1": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["metrics.jsonl", "dynamics.jsonl"])
def test_hostile_epochs_and_dynamics_are_one_line_at_once(sweep: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "sweep").mkdir()
    for run in ("bce-42", "focal-42"):
        shutil.copytree(sweep / run, tmp_path / "sweep" / run)
    registration, path = load_registration(sweep / "registration.yaml"), tmp_path / "sweep" / "focal-42" / name
    texts = ["[1]\n", '{"epoch": ' + "[" * 50_000 + "\n", '{"epoch": ' + "9" * 50_000 + "}\n", "{}\n" * 200_000]
    makers = [lambda p, t=text: p.write_text(t) for text in texts]
    for make in (*makers, os.mkfifo, lambda p: p.symlink_to("/dev/zero")):
        path.unlink()
        make(path)
        begun = time.monotonic()
        with pytest.raises(DataError, match=rf"focal-42/{name}") as caught:
            collect([tmp_path / "sweep"], registration, tmp_path / "out")
        assert time.monotonic() - begun < 4
        assert "\n" not in str(caught.value)
