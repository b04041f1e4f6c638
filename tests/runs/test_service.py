"""A service as a run: planned before anything is read, and opened in a folder of its own."""

from pathlib import Path

import pytest
from finished_runs import FinishedRuns

from ncf.core.compose import compose
from ncf.runs.artifacts import read_result
from ncf.runs.ranks_file import metrics_of, read_ranks
from ncf.runs.service import ServiceJob, open_service, plan_service


def test_a_plan_reads_no_run() -> None:
    plan = plan_service(compose(["run=/nowhere", "against=/nowhere", "world.run=/nowhere"], root="service"))
    assert plan.world.users == 2000
    assert list(plan.designs) == ["offline", "off_policy", "ab", "cluster_ab", "interleave", "opt_in", "rollout"]


def test_offline_values_are_those_of_the_runs(runs: FinishedRuns, tmp_path: Path) -> None:
    folders = [runs[name] for name in ("ease", "puresvd", "mf")]
    named = [f"{key}='{folder}'" for key, folder in zip(("run", "against", "world.run"), folders, strict=True)]
    small = ["world.users=60", "world.places=3", "world.candidates=6", "device=cpu", "design=[offline]"]
    job = open_service(plan_service(compose([*named, *small], root="service")), tmp_path, lambda: False)
    assert isinstance(job, ServiceJob)
    assert job.service.offline is not None
    for folder, found in zip(folders[:2], job.service.offline, strict=True):
        ranks = read_ranks(folder, "test")
        expected = metrics_of(folder, ranks, read_result(folder) or {}, "test")
        assert float(found.mean()) == pytest.approx(expected["ndcg@10"].mean())
    assert not list(tmp_path.iterdir())
