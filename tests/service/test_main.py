"""`python -m ncf.service`: the table, the run folder, lists of designs, sweeps, and one line for what is wrong."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from finished_runs import FinishedRuns

from ncf.core.compose import compose
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.runs.artifacts import read_result
from ncf.runs.identity import is_service, resolved, run_id
from ncf.runs.service import plan_service
from ncf.runs.tables import read_runs
from ncf.service.__main__ import listed, main, service
from ncf.service.tables import shown

SMALL = [
    "world.users=60",
    "world.places=3",
    "world.candidates=6",
    "days=4",
    "before=2",
    "device=cpu",
    "world.regions=8",
]


def asked(folder: Path, *overrides: str) -> dict[str, object] | None:
    return service(compose([*SMALL, *overrides], root="service"), folder)


def of_runs(runs: FinishedRuns, run: str = "ease", against: str = "puresvd", third: str = "mf") -> list[str]:
    named = ((key, runs[name]) for key, name in (("run", run), ("against", against), ("world.run", third)))
    return [f"{key}='{folder}'" for key, folder in named]


def test_all_designs_on_finished_runs(runs: FinishedRuns, tmp_path: Path) -> None:
    result = asked(tmp_path, *of_runs(runs), "log=csv")
    found = read_result(tmp_path)
    assert found is not None
    assert result is not None
    assert result["config_hash"] == found["config_hash"]
    table = pd.read_csv(tmp_path / "estimates.csv")
    designs = ["offline", "off_policy", "ab", "cluster_ab", "interleave", "opt_in", "rollout"]
    assert table["design"].unique().tolist() == designs
    assert len(table) == len(found["methods"]) == 28
    ndcg = [read_result(runs[name])["test"]["ndcg@10"] for name in ("ease", "puresvd")]  # type: ignore[index]
    assert table.loc[0, "value"] == pytest.approx(ndcg[1] - ndcg[0], abs=1e-9)
    assert (tmp_path / "feedback.csv").exists()
    assert len(shown(found).splitlines()) == 30


def test_a_finished_run_is_not_asked_again_and_another_does_not_take_its_folder(tmp_path: Path) -> None:
    own = ["world=synthetic", "design=[ab]"]
    first = asked(tmp_path, *own)
    assert first is not None
    before = (tmp_path / "estimates.csv").stat().st_mtime_ns
    again = asked(tmp_path, *own)
    assert again is not None
    assert again["config_hash"] == first["config_hash"]
    assert (tmp_path / "estimates.csv").stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match=r"other settings \(seed: 1 -> 2\); choose another folder$"):
        asked(tmp_path, *own, "seed=2")


def test_replications_are_summed_up_and_a_stop_writes_nothing(tmp_path: Path) -> None:
    cfg = compose([*SMALL, "world=synthetic", "design=[ab,rollout]", "replications=3"], root="service")
    assert service(cfg, tmp_path, stopped=lambda: True) is None
    assert not list(tmp_path.iterdir())
    result = service(cfg, tmp_path)
    assert result is not None
    assert {row["replications"] for row in result["methods"]} == {3}
    assert "names winner" in shown(result)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["world.users=0"], r"^world\.users: expected a value greater than or equal to 20, got 0$"),
        (["days=0"], r"^days: expected a value greater than or equal to 1, got 0$"),
        (["policy=plackett_luce", "policy.temperature=0"], r"^policy\.temperature: expected a value greater .* got 0$"),
        (["design.off_policy.temperature=-1"], r"^design\.off_policy\.temperature: expected a value greater"),
        (["days=3"], r"^design\.rollout\.waves: expected fewer waves than days=3"),
        (["design=[nosuch]"], r"^design: expected one of ab, cluster_ab, .*, got 'nosuch'$"),
        (["+design.nosuch.a=1"], r"^design: expected some of offline, .*, got 'nosuch'$"),
        (["design=[]"], r"^design: expected some of offline, .*, got none$"),
        (["design=[ab]", "log=csv"], r"^log: expected design=off_policy, whose log is kept, got log=csv without it$"),
        (["run=x"], r"^run, against: expected the folders of two finished runs, got one$"),
        (["world=trained", "world.run=x"], r"^run, against: expected the folders of two finished runs, got none$"),
        (["+world.frobnicate=1"], r"^world\.frobnicate: unknown key"),
        (["policy=plackett_luce"], r"^design\.interleave: expected policy=ranked"),
    ],
)
def test_bad_settings_are_one_line(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        asked(tmp_path, "world=synthetic", *overrides)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_stopped_keeps_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.service.sample._SESSIONS_AT_ONCE", 1)  # a replication at a time
    asked_so_far = iter([False, True])
    cfg = compose([*SMALL, "world=synthetic", "design=[off_policy]", "replications=2", "log=csv"], root="service")
    assert service(cfg, tmp_path, stopped=lambda: next(asked_so_far)) is None
    assert not list(tmp_path.iterdir())


def test_a_log_that_a_finished_run_did_not_keep_is_not_passed_over(tmp_path: Path) -> None:
    own = ["world=synthetic", "design=[off_policy]"]
    asked(tmp_path, *own)
    with pytest.raises(CheckpointError, match=r"holds this service without log=csv; choose another folder$"):
        asked(tmp_path, *own, "log=csv")


def test_a_made_up_world_does_not_take_the_runs_of_another(runs: FinishedRuns, tmp_path: Path) -> None:
    two = [part for part in of_runs(runs) if not part.startswith("world.")]
    with pytest.raises(ConfigError, match=r"^run, against: expected none for world=synthetic"):
        asked(tmp_path, "world=synthetic", *two)


def test_runs_that_are_missing_or_of_other_data_are_one_line(runs: FinishedRuns, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^run: expected a run folder, but /nowhere does not exist"):
        asked(tmp_path, *of_runs(runs), "against=/nowhere")
    for changed in ({"against": "other data"}, {"third": "other data"}):
        with pytest.raises(DataError, match=r"other data: expected a run on the data of .*; compare runs of one data"):
            asked(tmp_path, *of_runs(runs, **changed))
    assert not list(tmp_path.iterdir())


def test_a_list_of_designs_is_no_sweep() -> None:
    assert listed(["design=ab,interleave", "seed=1,2"]) == ["design=[ab,interleave]", "seed=1,2"]
    kept = ["design=[ab]", "design.ab.share=0.2", "+design=ab"]
    assert listed(kept) == kept


def test_the_identity_is_that_of_what_is_asked() -> None:
    settings = resolved(compose([*SMALL, "world=synthetic"], root="service"))
    assert is_service(settings)
    for same in ("threads=2", "progress=true", "log=csv"):
        assert run_id(resolved(compose([*SMALL, "world=synthetic", same], root="service"))) == run_id(settings)
    for other in ("seed=2", "world.users=61", "design=[ab]", "design.ab.share=0.4", "policy=epsilon_mixed"):
        assert run_id(resolved(compose([*SMALL, "world=synthetic", other], root="service"))) != run_id(settings)
    assert list(plan_service(compose(["world=synthetic", "design=[rollout,ab]"], root="service")).designs) == [
        "rollout", "ab",
    ]  # fmt: skip


def test_the_command_as_it_is_typed_and_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A sweep of one run, in this process: it goes through all that a run on its own does."""
    own = [*SMALL, "world=synthetic", "design=ab,interleave", "seed=2", f"hydra.sweep.dir='{tmp_path}'"]
    monkeypatch.setattr(sys, "argv", ["ncf.service", "-m", *own])
    main()
    (table,) = tmp_path.glob("synthetic-ranked-s2*/estimates.csv")
    assert len(pd.read_csv(table)) == 3
    said = "".join(capfd.readouterr())
    assert "results: " in said
    assert "ncf.report" not in said  # it shows no services


def test_a_report_of_services_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    asked(tmp_path / "one", "world=synthetic", "design=[ab]")
    with pytest.raises(DataError, match=r"expected a run of ncf\.train, found a service; read its estimates\.csv$"):
        read_runs([tmp_path])
