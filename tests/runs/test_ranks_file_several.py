"""Runs whose users have several held-out positives: from the split to the paired test."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import compose

from ncf.data import Split
from ncf.report import side_by_side
from ncf.runs.artifacts import read_result
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run
from ncf.runs.ranks_file import read_ranks
from ncf.runs.tables import read_users

DATA = ("data=synthetic", "data.users=60", "data.items=80", "data.interactions=1500")
SPLITS = ["split=ratio", "split=random", "split=temporal split.valid_from=0.5 split.test_from=0.505"]
DEFAULT = ["hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr"]


def finish(folder: Path, root: Path, *overrides: str) -> tuple[Split, dict[str, Any]]:
    """The split and the result of a small run."""
    plan = plan_run(compose(*DATA, f"data.root='{root}'", "device=cpu", *overrides))
    folder.mkdir()
    job = open_job(plan, folder, stopped=lambda: False)
    assert isinstance(job, Job)
    result = job.run()
    assert result is not None
    return job.split, result


@pytest.mark.parametrize("chosen", SPLITS)
def test_a_run_has_a_row_a_positive_and_means_over_users(chosen: str, tmp_path: Path) -> None:
    split, result = finish(tmp_path / "run", tmp_path, "model=popularity", *chosen.split())
    table, users = read_ranks(tmp_path / "run", "test"), read_users([tmp_path / "run"])
    assert len(table) == len(users) == len(split.test)
    assert users["user_id"].duplicated().any()
    means = users.groupby("user_id")[DEFAULT].mean()
    assert len(means) == len(np.unique(split.test.users))
    for metric in DEFAULT:
        assert means[metric].mean() == pytest.approx(result["test"][metric], abs=1e-12)


@pytest.mark.parametrize("evaluation", ["full", "sampled"])
def test_runs_are_compared_by_user(evaluation: str, tmp_path: Path) -> None:
    folders = [tmp_path / model for model in ("popularity", "ease")]
    for folder in folders:
        shown = ["evaluation.negatives=20"] if evaluation == "sampled" else []
        split, _ = finish(folder, tmp_path, f"model={folder.name}", "split=random", f"evaluation={evaluation}", *shown)
    compared = [side_by_side.ComparedRun(folder, read_result(folder) or {}) for folder in folders]
    report = side_by_side.report(compared, "test")
    assert f"over {len(np.unique(split.test.users))} users" in report
    assert "no paired test" not in report
    means = [run.result["test"]["ndcg@10"] for run in compared]
    assert f"{means[1] - means[0]:+.4f} (p " in report
