"""A study has its trials once, comes to the same end after kills and stops, and outlives trials that fail."""

import contextlib
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from apart import finish
from data_helpers import full_disk
from studies import Ended, failing, outcome, overrides, quick_disk, quick_settings, results, settings_of, trials_of  # noqa: F401  fixtures

from ncf.errors import ConfigError, FileError
from ncf.launch import tuning
from ncf.launch.study_database import DATABASE, opened
from ncf.launch.tuning import Study, tune
from ncf.runs import checkpoint
from ncf.runs.state import ClaimError

optuna = pytest.importorskip("optuna")

TRIALS = 3


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    tune(settings_of(root), TRIALS, 60.0, folder)
    return outcome(folder)


def test_a_study_has_its_trials_once_and_goes_on(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    tune(settings, 2, 60.0, tmp_path)
    summary = tune(settings, 4, 60.0, tmp_path)
    (path,) = tmp_path.glob("ease-*.json")
    trials = results(tmp_path)
    assert json.loads(path.read_text()) == summary
    assert (summary["trials"], summary["failed"], summary["seed"], summary["ended"]) == (4, 0, 42, "trials")
    assert len({r["config"]["model"]["l2"] for r in trials}) == len(trials) == 4
    assert summary["value"] == max(r["valid"]["ndcg@10"] for r in trials)
    top = next(r for r in trials if r["config"]["model"]["l2"] == summary["best"]["model.l2"])
    assert top["valid"]["ndcg@10"] == summary["value"]
    assert tune(settings, 4, 60.0, tmp_path) == summary
    assert len(results(tmp_path)) == 4


def test_a_study_ends_when_its_time_is_over(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    summary = tune(settings, 3, 1e-9, tmp_path)
    assert (summary["trials"], summary["ended"]) == (1, "minutes")
    assert summary["seconds"] > 0
    assert tune(settings, 3, 1e-9, tmp_path) == summary


def test_a_study_needs_its_metric_even_of_a_model_without_epochs(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.monitor: expected one of hit@3, ndcg@3, mrr, got 'ndcg@10'$"):
        tune([*overrides(root, "ease"), "evaluation.cutoffs=[3]"], 1, 60.0, tmp_path)
    assert not list(tmp_path.iterdir())


# Kills and stops: what a study comes to does not depend on them.


def fake_value(self: Study, settings: list[str], folder: Path, stopped: object) -> float:
    """A value in place of a run's, of the two settings drawn last."""
    drawn = [float(setting.partition("=")[2]) for setting in settings if setting.startswith(("model.l2", "model.f"))]
    return -((drawn[0] - 20) ** 2) - drawn[1]


def interrupted(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Let the process die before call number `call` of those that draw, run and record."""
    calls = itertools.count()

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: object, **keys: object) -> Any:
            if next(calls) == call:
                raise KeyboardInterrupt
            return function(*args, **keys)

        return called

    monkeypatch.setattr(tuning, "suggest", dying(tuning.suggest))
    monkeypatch.setattr(Study, "_value", dying(fake_value))
    monkeypatch.setattr(optuna.Study, "tell", dying(optuna.Study.tell))
    monkeypatch.setattr(optuna.trial.Trial, "set_user_attr", dying(optuna.trial.Trial.set_user_attr))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_settings")
def test_no_draw_depends_on_where_the_study_was_interrupted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More trials than the ten that TPE draws at random; interruptions at every kind of call, then between the two
    keys of every trial.
    """
    settings, count = overrides(root, "als"), 13
    monkeypatch.setattr(Study, "_value", fake_value)
    tune(settings, count, 60.0, tmp_path / "whole")
    whole = trials_of(tmp_path / "whole")
    assert len({tuple(params.values()) for _, params, _, _ in whole}) == count
    (first, second), *_ = [params.values() for _, params, _, _ in whole]
    assert abs(math.log(first / 2, 32) - math.log(second / 0.01, 1000)) > 0.05  # keys do not share their numbers
    kills = 0
    with monkeypatch.context() as patches:
        for call in itertools.chain(range(8), itertools.repeat(6)):
            with patches.context() as one:
                interrupted(one, call)
                try:
                    tune(settings, count, 60.0, tmp_path / "killed")
                    break
                except KeyboardInterrupt:
                    kills += 1
    assert kills > 8
    assert trials_of(tmp_path / "killed") == whole


def die_at_save(number: int) -> None:
    """A deed: the process ends, without any clean-up, once it has saved its checkpoint `number`."""
    count, save = itertools.count(1), checkpoint.save

    def saved(*args: Any) -> None:
        save(*args)
        if next(count) == number:
            os._exit(9)

    checkpoint.save = saved


def test_a_kill_in_the_middle_of_a_trial_changes_nothing(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Ended, dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, log = tmp_path / "studies", tmp_path / "log"
    line = [*settings_of(root), f"trials={TRIALS}", f"folder={folder}"]
    assert finish(line, log, partial(die_at_save, 5), module="ncf.tune") == 9
    assert [state for *_, state in trials_of(folder)] == ["COMPLETE", "RUNNING"]
    with caplog.at_level("INFO", "ncf.runs.job"):
        tune(settings_of(root), TRIALS, 60.0, folder)
    assert "resuming at epoch" in caplog.text
    assert outcome(folder) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_random_moments_change_nothing(
    root: Path, tmp_path: Path, undisturbed: tuple[Ended, dict[str, Any]]
) -> None:
    """`kill -9` from outside, at any moment of `python -m ncf.tune`."""
    command = [sys.executable, "-m", "ncf.tune", *settings_of(root), f"trials={TRIALS}"]
    moments, kills, studies = random.Random(0), 0, []
    begun = time.monotonic()
    subprocess.run([*command, f"folder={tmp_path / 'whole'}"], check=True)
    seconds = time.monotonic() - begun
    while kills < 10:
        studies.append(tmp_path / str(len(studies)))
        while True:
            process = subprocess.Popen([*command, f"folder={studies[-1]}"])
            try:
                process.wait(moments.uniform(0.3, 1) * seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            ended = process.wait()
            assert ended in (0, -9)
            if ended == 0:
                break
    assert [outcome(folder) for folder in studies] == [undisturbed] * len(studies)
    print(f"{kills} kills in {len(studies)} studies")


@pytest.mark.slow
def test_a_signal_stops_after_the_step_and_the_same_command_goes_on(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Ended, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save = checkpoint.save
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):

        def signalled(*args: Any, number: int = number) -> None:
            save(*args)
            signal.raise_signal(number)

        monkeypatch.setattr(checkpoint, "save", signalled)
        with pytest.raises(SystemExit) as ending:
            tune(settings_of(root), TRIALS, 60.0, tmp_path)
        assert ending.value.code == 75
        assert capsys.readouterr().err.splitlines()[-1] == "stopped; give the same command again to go on"
    monkeypatch.undo()
    tune(settings_of(root), TRIALS, 60.0, tmp_path)
    assert outcome(tmp_path) == undisturbed


@pytest.mark.slow
def test_trials_that_an_older_version_left_are_run(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    tune(settings, 1, 60.0, tmp_path)
    (name,) = {path.parent.name for path in tmp_path.glob("*/.lock")}
    with opened(optuna, tmp_path, name) as study:
        study.ask().suggest_float("model.l2", 10.0, 3000.0, log=True)
        study.ask()
    assert tune(settings, 3, 60.0, tmp_path)["trials"] == 3
    assert [state for *_, state in trials_of(tmp_path)] == ["COMPLETE"] * 3


# The place of a study.


def test_any_name_of_the_folder_works(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a?b %20 #{x} 'ü:\\"
    assert tune(overrides(root, "ease"), 1, 60.0, folder)["trials"] == 1
    assert (folder / DATABASE).stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert tune(overrides(root, "ease"), 1, 60.0, folder)["trials"] == 1


@pytest.mark.slow
def test_a_second_process_on_the_study_is_refused(root: Path, tmp_path: Path) -> None:
    tune(overrides(root, "ease"), 1, 60.0, tmp_path)
    (name,) = {path.parent.name for path in tmp_path.glob("*/.lock")}
    with opened(optuna, tmp_path, name), pytest.raises(ClaimError, match=f"{name}: another process is tuning this"):
        tune(overrides(root, "ease"), 2, 60.0, tmp_path)
    assert tune(overrides(root, "ease"), 2, 60.0, tmp_path)["trials"] == 2


@pytest.mark.slow
def test_a_study_whose_database_is_lost_is_repeated_from_its_run_folders(root: Path, tmp_path: Path) -> None:
    settings = overrides(root, "ease")
    tune(settings, 3, 60.0, tmp_path)
    before, times = outcome(tmp_path), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    (tmp_path / DATABASE).unlink()
    tune(settings, 3, 60.0, tmp_path)
    assert outcome(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == times


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    root: Path, tmp_path: Path, undisturbed: tuple[Ended, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # optuna's, before it tries again
    for size in (0, 40_000):
        with full_disk(size), pytest.raises(FileError, match="cannot write"):
            tune(settings_of(root), TRIALS, 60.0, tmp_path)
    tune(settings_of(root), 1, 60.0, tmp_path)
    with full_disk((tmp_path / DATABASE).stat().st_size - 4096), contextlib.suppress(FileError):
        tune(settings_of(root), TRIALS, 60.0, tmp_path)
    tune(settings_of(root), TRIALS, 60.0, tmp_path)
    assert outcome(tmp_path) == undisturbed


def test_choices_that_have_changed_since_are_refused(root: Path, tmp_path: Path) -> None:
    space = tmp_path / "conf" / "tuning" / "ease.yaml"
    space.parent.mkdir(parents=True)
    for choices in ("[3.0, 4.0]", "[3.0, 5.0]"):
        space.write_text(f"model.l2: {{choices: {choices}}}\n")
        expected = (
            contextlib.nullcontext() if "4" in choices else pytest.raises(ConfigError, match=r"^model\.l2: expec")
        )
        with expected:
            tune(overrides(root, "ease"), 1 if "4" in choices else 2, 60.0, tmp_path / "t", str(tmp_path / "conf"))


# What is said meanwhile.


@pytest.mark.usefixtures("quick_settings")
@pytest.mark.parametrize("errors_too", [False, True], ids=["stdout alone", "stderr as well"])
def test_progress_is_quiet_if_a_program_reads_stdout_alone(
    errors_too: bool, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "_value", failing(error=ConfigError("")))
    reading, writing = os.pipe()
    log = tmp_path / "log"
    with os.fdopen(reading), os.fdopen(writing, "w") as out, log.open("w") as file, monkeypatch.context() as patches:
        patches.setattr(sys, "stdout", out)
        patches.setattr(sys, "stderr", out if errors_too else file)
        tune(overrides(root, "ease"), 1, 60.0, tmp_path)
        out.flush()
        os.set_blocking(reading, False)
        with contextlib.suppress(BlockingIOError):
            log.write_bytes(os.read(reading, 1 << 16))
    assert ("trial 0: 0.0000" in log.read_text()) == errors_too
