"""A multirun that may be stopped and started at will: what the run folders say decides what is launched."""

import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apart
import audited_train
import pytest
from omegaconf import OmegaConf
from sweeps import STUDY, events, h3_at_4, small_study
from toys import compose, small

from ncf.launch import hydra_app
from ncf.launch import sweep as sweep_module
from ncf.launch.sweep import _where_next
from ncf.runs.artifacts import RANKS
from ncf.runs.state import claim, run_status, state
from ncf.runs.tables import read_runs
from ncf.study import load
from ncf.train import train

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
    monkeypatch.setattr(logging, "raiseExceptions", True)

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["ncf.train", *arguments, "hydra/launcher=basic"])
        stderr = sys.stderr
        try:
            hydra_app.run(audited_train.main)
        except SystemExit as ending:
            return int(ending.code or 0)
        finally:
            sys.stderr = stderr
        return 0

    yield call
    root.handlers[:], root.level = handlers, level


def test_a_registered_sweep_leaves_a_table(sweep, root, tmp_path, capsys):
    study = small_study(tmp_path)
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(study), {"pilot": OmegaConf.load(STUDY).pilot}), study)
    arguments = h3_at_4(root, study, tmp_path / "sweep", "trainer.epochs=1")
    assert sweep(*arguments, "seed=43") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"results: {tmp_path / 'sweep'}"
    assert "H3  focal vs alpha_bce, test/ndcg@10, 1:4: 2 seeds, smallest p 0.5" in err
    chances = [line for line in err.splitlines() if line.startswith("H3  with ")]
    assert [line.partition(": holds 0.")[0] for line in chances] == [
        "H3  with no effect", "H3  with a change of 5.0%", "H3  with a change of 10.0%",
    ]  # fmt: skip
    assert "H1 " not in err
    assert err.splitlines()[-1] == "sweep: 4 of 4 done, 0 running, 0 failed"
    table = read_runs([tmp_path / "sweep"])
    assert set(zip(table["loss"], table["alpha"], table["neg_ratio"], table["seed"])) == {
        (loss, alpha, 4, 43) for loss in ("alpha_bce", "focal") for alpha in (0.25, 0.8)
    }
    assert set(table["registration"]) == {load(study).sha256}
    plan = json.loads((tmp_path / "sweep" / "h3.sweep.json").read_text())["runs"]
    assert plan == dict.fromkeys(table["run"], 4)


def test_finished_runs_are_not_run_again(sweep, audit, root, tmp_path):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "seed=1") == 0
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    assert sweep(*arguments, "seed=1,2,1") == 0
    assert list(events(audit, "start").values()) == [1, 1]
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_a_finished_sweep_says_where_it_lies_and_what_reads_it(sweep, audit, root, tmp_path, capsys):
    folder = tmp_path / "my sweep"
    assert sweep("-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{folder}'", "seed=1") == 0
    assert capsys.readouterr().out == (
        f"results: {folder}\n  python -m ncf.report sweep='{folder}'\n  python -m ncf.compare '{folder}'\n"
    )
    assert _where_next(Path("a"), None, True) == "results: a\n  python -m ncf.report sweep=a"  # of simulations
    assert sweep(*h3_at_4(root, small_study(tmp_path, 1), tmp_path / "study"), "loss=bce,alpha_bce") == 0
    said = capsys.readouterr().out
    assert re.search(rf"python -m ncf\.report registration=\S+\.yaml sweep={tmp_path}/study\n", said)


def test_a_sweep_that_failed_names_no_report(sweep, audit, root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep_module, "_unusable", lambda folder: True)
    assert sweep("-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}/s'", "seed=1") == 1
    assert "ncf.report" not in capsys.readouterr().out


@pytest.mark.slow
def test_runs_of_a_table_count_as_done(
    sweep: Sweep, audit: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, arguments = tmp_path / "rows.csv", h3_at_4(root, small_study(tmp_path, 1), tmp_path / "sweep")
    arguments.append(f"hydra.sweeper.finished='{table}'")
    assert sweep(*arguments, "loss=bce,alpha_bce") == 0  # there is no table yet
    made = sorted(folder.name for folder in (tmp_path / "sweep").iterdir() if folder.is_dir())
    table.write_text("run,value\n" + "".join(f"{name},1\n" for name in made))
    elsewhere = [argument.replace("sweep.dir='", "sweep.dir='elsewhere-") for argument in arguments]
    elsewhere = [a.replace(f"elsewhere-{tmp_path}", f"{tmp_path}/elsewhere") for a in elsewhere]
    capsys.readouterr()
    assert sweep(*elsewhere) == 0
    assert f"{len(made)} of 4 runs are in {table}" in capsys.readouterr().err
    assert not set(made) & {folder.name for folder in (tmp_path / "elsewhere/sweep").iterdir()}
    table.write_text("name\n")
    assert sweep(*elsewhere) == 2
    assert "hydra.sweeper.finished: expected a CSV file with a column run" in capsys.readouterr().err


def test_a_failure_stops_no_other_run_and_is_mended_alone(sweep, audit, root, tmp_path, capsys, monkeypatch):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'", "seed=1,2,3,4"]
    monkeypatch.setenv("FAULTS", json.dumps({1: "error", 3: "memory"}))
    assert sweep(*arguments) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[-2] == "sweep: 2 of 4 done, 0 running, 2 failed"
    assert err[-1] == f"not all runs are done; for details: python -m ncf.status {tmp_path}"
    found = [run_status(folder.parent) for folder in sorted(tmp_path.glob("*/.lock"))]
    assert [run.state for run in found] == ["failed", "done", "failed", "done"]
    assert found[0].error == "RuntimeError: planted error"
    assert "planted: out of memory" in str(found[2].error)
    monkeypatch.delenv("FAULTS")
    assert sweep(*arguments) == 0
    assert list(events(audit, "start").values()) == [2, 1, 2, 1]
    assert set(events(audit, "end").values()) == {1}
    assert not list(tmp_path.glob("*/failure.json"))


@pytest.mark.slow
def test_a_damaged_result_fails_its_run_until_it_is_deleted(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "seed=1") == 0
    (run,) = [path.parent for path in tmp_path.glob("*/result.json")]
    whole = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text((run / "result.json").read_text()[:500])
    assert sweep(*arguments, "seed=1,2") == 1
    assert capsys.readouterr().err.splitlines()[-2] == "sweep: 1 of 2 done, 0 running, 1 failed"
    assert "result.json: cannot be read as the result of a run" in str(run_status(run).error)
    (run / "result.json").unlink()
    assert sweep(*arguments, "seed=1,2") == 0
    mended = json.loads((run / "result.json").read_text())
    assert (mended["valid"], mended["test"]) == (whole["valid"], whole["test"])


@pytest.mark.slow
def test_a_folder_that_no_run_can_use_stops_no_other_run(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path / 'sweep'}'"]
    assert sweep(*arguments, "seed=1") == 0
    (done,) = (path.parent for path in (tmp_path / "sweep").glob("*/result.json"))
    done.rename(tmp_path / "aside")
    done.write_text("a file in its place")
    capsys.readouterr()
    assert sweep(*arguments, "seed=1,2") == 1
    assert "sweep: 1 of 2 done" in (said := capsys.readouterr().err)
    assert (
        f"error: {done}: expected a writable folder without links out of it; its run was skipped" in said.splitlines()
    )
    done.unlink()
    assert sweep(*arguments, "seed=1,2") == 0


@pytest.mark.slow
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
        (
            ["experiment=h1", "registration=null"],
            "registration: expected its path, since hydra.sweeper.parts refers to it",
        ),
        (["experiment=h1", "optimizer.lr=0.1,0.01"], "optimizer.lr: not in the registration"),
        (["experiment=h1", "seed=7"], "the registration has no run with seed=[7]"),
        (["experiment=h1", "loss=focal", "loss.gamma=3.0"], "the registration has no run with loss=['focal'] loss.g"),
        (["experiment=h1", "hydra.sweeper.parts=[{of: [H7], ratios: [4]}]"], "hydra.sweeper.parts: expected names"),
        (["loss=bce,focal", "hydra.sweep.subdir=${seed}"], "hydra.sweep.subdir: expected a separate folder per run"),
        (
            ["seed=1,2", "hydra.sweep.subdir=bce/${seed}"],
            "hydra.sweep.subdir: expected a folder name, got 'bc",
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


@pytest.mark.slow
def test_a_run_with_other_settings_is_not_counted_as_done(sweep, root, tmp_path, capsys):
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'", "hydra.sweep.subdir=${seed}"]
    assert sweep(*arguments, "seed=1,2") == 0
    assert sweep(*arguments, "seed=1,2") == 0
    capsys.readouterr()
    assert sweep(*arguments, "seed=1,2", "loss=focal") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "error: hydra.sweep.subdir: expected a separate folder per run, "
        f"but {tmp_path / '1'} has a run with other settings"
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


@pytest.mark.slow
def test_one_run_of_a_sweep_is_resumed_alone(sweep, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["experiment=ablation_gamma", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path}'"]
    assert sweep(*arguments, "hydra.sweeper.params={loss.gamma: '1.0'}", "seed=42") == 0
    (folder,) = [path.parent for path in tmp_path.glob("*/result.json")]
    (folder / "result.json").unlink()
    assert sweep(f"resume={folder}") == 0
    assert (folder / "result.json").exists()
    assert not Path("outputs").exists()


# By a process of its own, which dies


def test_killed_and_started_again(sweep: Sweep, audit: Path, root: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a run, and with it of the sweep: what was done is not done again, the rest is made."""
    arguments = ["-m", *small(root, "trainer.epochs=1"), "seed=1,2,3", f"hydra.sweep.dir='{tmp_path / 'sweep'}'"]
    planted = apart.environment(AUDIT=str(audit), FAULTS=json.dumps({2: "kill"}))
    killed = apart.finish([*arguments, "hydra/launcher=basic"], tmp_path / "log", planted, module="audited_train")
    assert killed == -signal.SIGKILL, (tmp_path / "log").read_text()
    folders = {name.split("-")[3]: tmp_path / "sweep" / name for name in events(audit, "start")}
    assert [state(folder) for folder in folders.values()] == ["done", "stopped"]
    assert sweep(*arguments) == 0
    assert {name.split("-")[3]: count for name, count in events(audit, "start").items()} == {"s1": 1, "s2": 2, "s3": 1}
    assert list(events(audit, "end").values()) == [1, 1, 1]
    (tmp_path / "alone").mkdir()
    assert train(compose(*small(root, "trainer.epochs=1", "seed=2")), tmp_path / "alone") is not None
    assert (folders["s2"] / RANKS).read_bytes() == (tmp_path / "alone" / RANKS).read_bytes()


def test_a_swept_experiment_that_defines_a_sweep_is_refused(sweep: Sweep, tmp_path: Path, capsys: Any) -> None:
    """Its choices would be dropped without a word."""
    folder = tmp_path / "sweep"
    arguments = ["-m", "experiment=ablation_gamma,ablation_loss", "seed=1", f"hydra.sweep.dir='{folder}'"]
    assert sweep(*arguments) == 2
    assert capsys.readouterr().err == (
        "error: experiment: expected one choice, since ablation_gamma defines a sweep of its own; start a sweep for "
        "each\n"
    )
    assert not folder.exists()


@pytest.mark.slow
def test_a_run_folder_with_a_link_out_of_it_is_left_out(sweep: Sweep, root: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["-m", *small(root, "trainer.epochs=1"), f"hydra.sweep.dir='{tmp_path / 'sweep'}'"]
    assert sweep(*arguments, "seed=1") == 0
    (run,) = (path.parent for path in (tmp_path / "sweep").glob("*/result.json"))
    (run / "result.json").unlink()
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(tmp_path / "mine")
    capsys.readouterr()
    assert sweep(*arguments, "seed=1,2") == 1
    assert f"error: {run}: expected a writable folder without links out of it" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
