"""Sweeps: the runs a registration asks for, and a multirun that may be stopped and started at will."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import audited_train
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pandas.testing import assert_frame_equal
from sweeps import STUDY, events, h3_at_4, outcome, small_study, start, wait_for
from toys import small

from ncf import train
from ncf.core.compose import CONF
from ncf.errors import ConfigError
from ncf.runs import resume
from ncf.runs.components import CHOICES
from ncf.runs.state import account, claim, state
from ncf.runs.tables import read_runs
from ncf.stats import load
from ncf.study.registered_runs import Part, admits, overrides, parts, registered_runs
from ncf.study.registration import Registration, in_arm

EXPERIMENTS = ("focal_loss", "h1", "h2", "h3", "grid", "clamped")


@pytest.fixture(scope="module")
def study() -> Registration:
    return load(STUDY)


def composed(experiment: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [f"experiment={experiment}"], return_hydra_config=True)


def runs_of(experiment: str, study: Registration) -> list[dict[str, Any]]:
    return registered_runs(study, parts(OmegaConf.to_container(composed(experiment).hydra.sweeper.parts)))


def keys(runs: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {tuple(sorted(run.items())) for run in runs}


# What is run


def test_the_experiments_are_the_registered_study():
    for experiment in EXPERIMENTS:
        cfg = composed(experiment)
        assert cfg.registration == "experiments/focal_loss/preregistration.yaml"
        assert (
            cfg.hydra.sweep.dir == "outputs/sweeps/focal_loss"
        )  # one folder, so that no run of the study is made twice


def test_the_whole_study_is_every_registered_run_once(study):
    runs = runs_of("focal_loss", study)
    assert keys(runs) == keys([run for grid in study.grids for run in study.runs(grid)])
    assert len(keys(runs)) == len(runs)


def test_the_parts_of_the_study_are_what_their_hypotheses_compare(study):
    for name, arms in {"h1": ["focal", "bce"], "h2": ["focal", "bce"]}.items():
        ratios = [10, 50] if name == "h1" else [4, 10, 50]
        expected = [
            run for run in study.runs("main") for arm in arms
            if run["neg_ratio"] in ratios and in_arm(run, study.arms[arm], run["neg_ratio"])
        ]  # fmt: skip
        assert keys(runs_of(name, study)) == keys(expected)
    without_bce = [run for run in study.runs("main") if run["loss"] != "bce"]
    assert keys(runs_of("h3", study)) == keys(without_bce + study.runs("constant_weight"))
    for name in ("grid", "clamped"):
        assert keys(runs_of(name, study)) == keys(study.runs(name))


def test_what_decides_comes_first(study):
    """The main runs at 1:10 and 1:4 before all others, seed by seed, so that a stopped sweep leaves whole pairs."""
    runs = runs_of("focal_loss", study)
    cheap = [run for run in study.runs("main") if run["neg_ratio"] in (4, 10)]
    assert keys(runs[: len(cheap)]) == keys(cheap)
    assert [run["loss"] for run in runs[:6]] == ["bce", "alpha_bce", "focal"] * 2
    assert [run["seed"] for run in runs[:6]] == [42] * 3 + [43] * 3


def test_a_registered_run_is_the_run_that_is_made(study):
    """Column -> override -> configuration -> column gives back what was registered."""
    for run in {run["loss"]: run for run in runs_of("focal_loss", study)}.values():
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", [f"{key}={value}" for key, value in overrides(run).items()])
        loss = dict(cfg.loss)
        assert {
            "model": cfg.model.name,
            "neg_ratio": cfg.neg_ratio,
            "seed": cfg.seed,
            "loss": loss.pop("name"),
        } | loss == run


def test_parts_name_what_is_registered(study):
    with pytest.raises(ConfigError, match=r"expected names among H1, .*clamped, got 'H9'"):
        registered_runs(study, [Part(of=["H9"], ratios=[4])])
    for bad in ([{"of": ["H1"]}], [{"of": [], "ratios": [4]}], [{"of": ["H1"], "ratios": [0]}], ["H1"], {"of": "H1"}):
        with pytest.raises(ConfigError, match=r"^hydra\.sweeper\.parts"):
            parts(bad)


def test_the_command_line_narrows_down():
    run = {"model": "neumf", "loss": "focal", "loss.gamma": 2.0, "loss.alpha": 0.8, "neg_ratio": 4, "seed": 42}
    assert admits({}, run)
    assert admits({"seed": [41, 42], "loss": ["bce", "focal"]}, run)
    assert admits({"loss.alpha": ["balanced"], "loss.gamma": [2]}, run)
    assert not admits({"seed": [43]}, run)
    assert not admits({"loss.alpha": [0.25]}, run)
    assert not admits({"loss.alpha": [0.25]}, {"loss": "bce", "neg_ratio": 4, "seed": 42})


# How it is run: in this process, one run after the other

Sweep = Callable[..., int]


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The witness of every training in this test (see audited_train.py)."""
    monkeypatch.setenv("AUDIT", str(tmp_path / "audit"))
    monkeypatch.delenv("FAULTS", raising=False)
    return tmp_path / "audit"


@pytest.fixture
def sweep(audit: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    """sweep(*arguments) -> exit status of `python -m ncf.train` with them and Hydra's own, serial launcher."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ncf.train", *arguments, "hydra/launcher=basic"])
        try:
            audited_train.main()
        except SystemExit as ending:
            return int(ending.code or 0)
        return 0

    yield call
    root.handlers[:], root.level = handlers, level


def test_a_registered_sweep_leaves_a_table(sweep, root, tmp_path, capsys):
    study = small_study(tmp_path)
    arguments = h3_at_4(root, study, tmp_path / "sweep", "trainer.epochs=1")
    assert sweep(*arguments, "seed=43") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "H3  focal vs alpha_bce, test/ndcg@10, 1:4: 2 seeds, smallest p 0.5" in err
    assert "H1 " not in err
    assert err.splitlines()[-1] == "sweep: 4 of 4 done, 0 running, 0 failed"
    table = read_runs([tmp_path / "sweep"])
    assert set(zip(table["loss"], table["alpha"], table["neg_ratio"], table["seed"])) == {
        (loss, alpha, 4, 43) for loss in ("alpha_bce", "focal") for alpha in (0.25, 0.8)
    }
    assert set(table["registration"]) == {load(study).sha256}


def test_finished_runs_are_not_run_again(sweep, audit, root, tmp_path):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "seed=1") == 0
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    assert sweep(*arguments, "seed=1,2,1") == 0
    assert list(events(audit, "start").values()) == [1, 1]
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_failure_stops_no_other_run_and_is_mended_alone(sweep, audit, root, tmp_path, capsys, monkeypatch):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'", "seed=1,2,3,4"]
    monkeypatch.setenv("FAULTS", json.dumps({1: "error", 3: "memory"}))
    assert sweep(*arguments) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-2] == "sweep: 2 of 4 done, 0 running, 2 failed"
    assert err[-1] == f"not all runs are done; for more: python -m ncf.status {tmp_path}"
    accounts = [run_status(folder.parent) for folder in sorted(tmp_path.glob("*/.lock"))]
    assert [a.state for a in accounts] == ["failed", "done", "failed", "done"]
    assert accounts[0].error == "RuntimeError: planted error"
    assert "planted: out of memory" in str(accounts[2].error)
    monkeypatch.delenv("FAULTS")
    assert sweep(*arguments) == 0
    assert list(events(audit, "start").values()) == [2, 1, 2, 1]
    assert set(events(audit, "end").values()) == {1}
    assert not list(tmp_path.glob("*/failure.json"))


def test_a_damaged_result_fails_its_run_until_it_is_deleted(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "seed=1") == 0
    (run,) = [path.parent for path in tmp_path.glob("*/result.json")]
    whole = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text((run / "result.json").read_text()[:500])
    assert sweep(*arguments, "seed=1,2") == 1
    assert capsys.readouterr().err.splitlines()[-2] == "sweep: 1 of 2 done, 0 running, 1 failed"
    assert "result.json: expected the JSON of a finished run" in str(run_status(run).error)
    (run / "result.json").unlink()
    assert sweep(*arguments, "seed=1,2") == 0
    mended = json.loads((run / "result.json").read_text())
    assert (mended["valid"], mended["test"]) == (whole["valid"], whole["test"])


def test_a_folder_that_no_run_can_use_stops_no_other_run(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path / 'sweep'}'"]
    assert sweep(*arguments, "seed=1") == 0
    (done,) = (path.parent for path in (tmp_path / "sweep").glob("*/result.json"))
    done.rename(tmp_path / "aside")
    done.write_text("a file in its place")
    capsys.readouterr()
    assert sweep(*arguments, "seed=1,2") == 1
    assert "sweep: 1 of 2 done" in (said := capsys.readouterr().err)
    assert f"error: {done}: expected a folder that can be written to; its run was left out" in said.splitlines()
    done.unlink()
    assert sweep(*arguments, "seed=1,2") == 0


def test_a_run_that_another_process_has_is_left_to_it(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "seed=1") == 0
    (mine,) = [path.parent for path in tmp_path.glob("*/result.json")]
    (mine / "result.json").unlink()
    with claim(mine):
        assert sweep(*arguments, "seed=1,2") == 75
    assert "sweep: 1 of 2 done, 1 running, 0 failed" in capsys.readouterr().err
    assert state(mine) == "stopped"
    assert sweep(*arguments, "seed=1,2") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss=focal", "loss.gamma=1.0,-1.0"], "loss.gamma: "),
        (["experiment=h1", "registration=nowhere.yaml"], "nowhere.yaml: "),
        (["experiment=h1", "registration=null"], "registration: hydra.sweeper.parts are parts of one"),
        (["experiment=h1", "optimizer.lr=0.1,0.01"], "optimizer.lr: not registered"),
        (["experiment=h1", "seed=7"], "the registration has no run with seed=[7]"),
        (["experiment=h1", "loss=focal", "loss.gamma=3.0"], "the registration has no run with loss=['focal'] loss.g"),
        (["experiment=h1", "hydra.sweeper.parts=[{of: [H7], ratios: [4]}]"], "hydra.sweeper.parts: expected names"),
        (["loss=bce,focal", "hydra.sweep.subdir=${seed}"], "hydra.sweep.subdir: expected a folder of its own for each"),
        (
            ["seed=1,2", "hydra.sweep.subdir=bce/${seed}"],
            "hydra.sweep.subdir: expected the name of one folder, got 'bc",
        ),
    ],
)
def test_bad_sweeps_are_refused_before_they_start(sweep, tmp_path, capsys, arguments, message):
    given = [f"registration='{STUDY}'", *arguments] if "experiment=h1" in arguments else arguments
    assert sweep("-m", f"hydra.sweep.dir='{tmp_path / 'sweep'}'", *given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if not line.startswith("H1 ")] == [lines[-1]]
    assert lines[-1].startswith(f"error: {message}")
    assert not (tmp_path / "sweep").exists()


def test_a_run_with_other_settings_is_not_counted_as_done(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'", "hydra.sweep.subdir=${seed}"]
    assert sweep(*arguments, "seed=1,2") == 0
    assert sweep(*arguments, "seed=1,2") == 0
    capsys.readouterr()
    assert sweep(*arguments, "seed=1,2", "loss=focal") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "error: hydra.sweep.subdir: expected a folder of its own for each run, "
        f"found other settings at {tmp_path / '1'}"
    )


def test_a_sweep_needs_a_folder_it_can_write(sweep, root, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert sweep("-m", *small(root), f"hydra.sweep.dir='{tmp_path / 'file' / 'sweep'}'", "seed=1") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "file/sweep" in line


def test_a_design_that_cannot_conclude_is_refused(sweep, tmp_path, capsys):
    study = small_study(tmp_path, seeds=5)
    assert sweep("-m", "experiment=h1", f"registration='{study}'", f"hydra.sweep.dir='{tmp_path / 'sweep'}'") == 2
    assert "error: H1, focal vs bce" in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


# How it is run: by processes that die


def test_killed_and_started_again(sweep, audit, root, tmp_path):
    """SIGKILL to the driver while runs are in hand; what its orphans finish is not done again."""
    study = small_study(tmp_path, 1)
    driver = start([*h3_at_4(root, study, tmp_path / "sweep"), "hydra.launcher.n_jobs=2"], audit)
    wait_for(lambda: bool(events(audit, "end")))
    driver.kill()
    driver.wait()
    while (status := sweep(*h3_at_4(root, study, tmp_path / "sweep"))) == 75:
        time.sleep(0.2)
    assert status == 0
    assert list(events(audit, "end").values()) == [1, 1, 1, 1]
    assert sweep(*h3_at_4(root, study, tmp_path / "whole")) == 0
    for found, expected in zip(outcome(tmp_path / "sweep"), outcome(tmp_path / "whole")):
        assert_frame_equal(found, expected)


def test_the_plan_on_disk_is_the_sweep(root, tmp_path, sweep):
    study = small_study(tmp_path)
    sweep(*h3_at_4(root, study, tmp_path / "sweep", "trainer.epochs=1", "seed=42"))
    plan = json.loads((tmp_path / "sweep" / "h3.sweep.json").read_text())["runs"]
    assert sorted(plan) == sorted(path.parent.name for path in tmp_path.glob("sweep/*/result.json"))
    assert set(plan.values()) == {4}


def test_one_run_of_a_sweep_is_resumed_alone(sweep, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["experiment=ablation_gamma", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "hydra.sweeper.params={loss.gamma: '1.0'}", "seed=42") == 0
    (folder,) = [path.parent for path in tmp_path.glob("*/result.json")]
    (folder / "result.json").unlink()
    assert sweep(*resume.spelt_out([f"resume={folder}"], CHOICES)) == 0
    assert (folder / "result.json").exists()
    assert not Path("outputs").exists()
