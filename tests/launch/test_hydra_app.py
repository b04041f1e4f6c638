"""The command line around a run: what is printed, exit statuses, and one line for what is wrong with what was typed."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra.types import RunMode
from omegaconf import OmegaConf
from toys import compose, small

from ncf import train
from ncf.core.signals import StopFlag
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError, TrainingError
from ncf.launch import hydra_app
from ncf.launch.hydra_app import memory_explained, table
from ncf.losses import LOSSES
from ncf.runs import artifacts, checkpoint
from ncf.runs.state import FAILURE

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Cli]:
    """cli(*arguments) -> exit status, stdout and stderr of `python -m ncf.train`, in this process to save its start."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setenv("NCF_IMPORT", "")
    monkeypatch.setattr(sys, "path", sys.path[:])

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ncf.train", *arguments])
        monkeypatch.setattr(sys, "stderr", sys.__stderr__)
        capfd.readouterr()
        try:
            hydra_app.run(train.main)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capfd.readouterr()

    yield call
    logger.handlers[:], logger.level = handlers, level


def test_a_missing_archive_is_one_line(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli(f"data.archive={tmp_path / 'gone.zip'}", f"data.root={tmp_path}", "hydra.run.dir=run")
    assert status == 2
    assert err.splitlines()[-1].startswith("error: ")
    assert "gone.zip" in err
    assert "Traceback" not in err
    assert "Traceback" not in out


@pytest.mark.parametrize("override", ["trainer.epochs=0", "+loss._target_=os.system", "data=csv", "seed=${nothing}"])
def test_a_bad_value_is_one_line_on_stderr_and_status_2(override: str, cli: Cli) -> None:
    status, out, err = cli(override, "hydra.run.dir=run")
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "override",
    [
        "--config-name=data/csv",
        "trainer.epoch=3",
        "nosuch=1",
        "loss=nosuch",
        "experiment=nosuch",
        "model=null",
        "seed=[",
        "x",
        "loss=3",
    ],
)
def test_what_hydra_refuses_is_no_traceback_either(override: str, cli: Cli) -> None:
    status, _, err = cli(override, "hydra.run.dir=run")
    assert status not in (0, 75)
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_the_last_thing_printed_is_the_table_and_the_folder(cli: Cli, root: Path, tmp_path: Path) -> None:
    """And nothing is left beside the run folder."""
    status, out, _ = cli(*small(root), "hydra.run.dir='a run'")
    lines = out.splitlines()
    assert status == 0
    assert [line.split()[0] for line in lines[-4:-1]] == ["hit@5", "valid", "test"]
    assert Path(lines[-1]) == tmp_path / "a run"
    assert OmegaConf.load(tmp_path / "a run" / ".hydra" / "config.yaml").seed == 42
    shown = dict(zip(lines[-4].split(), map(float, lines[-2].split()[1:]), strict=True))
    result = artifacts.read_result(tmp_path / "a run")
    assert result is not None
    assert shown == pytest.approx(result["test"], abs=5e-5)
    assert {path.name for path in tmp_path.iterdir()} == {"a run"}


def as_hydra_runs_it(monkeypatch: pytest.MonkeyPatch, folder: Path, mode: str) -> None:
    """What Hydra says about the job in hand."""
    said = {
        "runtime": {"output_dir": str(folder), "cwd": str(folder)},
        "mode": RunMode[mode],
        "output_subdir": ".hydra",
    }
    monkeypatch.setattr(hydra_app.HydraConfig, "get", lambda: OmegaConf.create(said))


@pytest.mark.parametrize("monitor", ["ndcg@10", "hit@5"])
def test_the_job_returns_the_monitored_validation_metric_for_sweepers(
    monitor: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_hydra_runs_it(monkeypatch, tmp_path, "MULTIRUN")
    cfg = compose(*small(root, "trainer.epochs=1"))
    cfg.trainer.monitor = monitor
    value = train.main.__wrapped__(cfg)  # type: ignore[attr-defined]
    result = artifacts.read_result(tmp_path)
    assert result is not None
    assert value == result["valid"][monitor]
    assert capsys.readouterr().out == ""  # a sweep shows one line for all


def test_a_model_without_epochs_may_have_no_metric_to_return(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_hydra_runs_it(monkeypatch, tmp_path, "MULTIRUN")
    cfg = compose("model=ease", "data=synthetic", f"data.root={root}", "evaluation.cutoffs=[3]")
    value = train.main.__wrapped__(cfg)  # type: ignore[attr-defined]
    result = artifacts.read_result(tmp_path)
    assert result is not None
    assert "hit@3" in result["valid"]
    assert value != value  # NaN


ERRORS = [ConfigError("x"), DataError("x"), CheckpointError("x"), TrainingError("x"), RuntimeError("x")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("mode", ["RUN", "MULTIRUN"])
def test_an_error_of_one_run_ends_no_sweep_and_is_one_line_alone(
    error: Exception, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(cfg: object, folder: Path, stopped: StopFlag, accepted: object) -> None:
        raise error

    as_hydra_runs_it(monkeypatch, tmp_path, mode)
    job, cfg = hydra_app.hydra_job(fail), OmegaConf.create({"resume": None})
    if mode == "MULTIRUN":
        assert job(cfg) is None
    elif isinstance(error, NcfError):
        with pytest.raises(SystemExit) as caught:
            job(cfg)
        assert caught.value.code == (1 if isinstance(error, TrainingError) else 2)
        assert capsys.readouterr().err == "error: x\n"
    else:
        with pytest.raises(RuntimeError):
            job(cfg)
    on_record = mode == "MULTIRUN" or not isinstance(error, hydra_app.BAD_INPUT)
    assert (tmp_path / FAILURE).exists() == on_record  # bad input leaves a folder as it was


@pytest.mark.parametrize("mode", ["RUN", "MULTIRUN"])
def test_an_interrupted_run_ends_with_status_75_and_says_how_to_go_on(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_hydra_runs_it(monkeypatch, tmp_path, mode)
    with pytest.raises(SystemExit) as caught:
        hydra_app.hydra_job(lambda *given: None)(OmegaConf.create({"resume": None}))
    assert caught.value.code == 75
    said = f"stopped; resume with python -m ncf.train resume={tmp_path}\n" if mode == "RUN" else ""
    assert capsys.readouterr().err == said
    assert not (tmp_path / FAILURE).exists()


def test_what_a_run_itself_raises_is_not_taken_for_a_mistake_in_what_was_typed(
    cli: Cli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("a fault of the program")

    monkeypatch.setattr(train, "open_job", fail)
    with pytest.raises(ZeroDivisionError):
        cli(*small(root), "hydra.run.dir=run")
    assert cli("nosuch=1", "hydra.run.dir=run")[0] == 2  # and the next command line is judged anew


def test_resume_that_is_set_in_a_file_is_refused(cli: Cli, root: Path, tmp_path: Path) -> None:
    """There it could not bring back the settings that the run began with."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "again.yaml").write_text("# @package _global_\nresume: elsewhere\n")
    arguments = [f"--config-dir={tmp_path / 'own'}", "experiment=again", *small(root), "hydra.run.dir=run"]
    status, _, err = cli(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: resume: expected resume=<run folder> on the command line, got 'elsewhere'")
    assert not (tmp_path / "run" / checkpoint.NEWEST).exists()


def test_help_and_cfg_say_something_useful(cli: Cli) -> None:
    status, out, _ = cli("--help")
    assert status == 0
    for words in ("python -m ncf.train", "loss: ", "neumf", "Exit status", "resume", "conf/<group>/<choice>.yaml"):
        assert words in out
    status, out, _ = cli("loss=focal", "neg_ratio=50", "--cfg", "job")
    assert status == 0
    printed = OmegaConf.create(out)
    assert (printed.loss.name, printed.neg_ratio, printed.loss.gamma) == ("focal", 50, 2.0)


def test_an_option_of_another_program_is_one_line_that_names_the_setting(cli: Cli) -> None:
    status, out, err = cli("--epochs", "3")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(
        "error: --epochs: unknown option; settings are written key=value (did you mean trainer.epochs?)"
    )


PARTS = """
import ncf
from ncf.losses import BCE

class Own(BCE):
    pass

ncf.register("loss", "own_of_the_test", Own)
"""


def test_a_component_of_one_s_own_is_imported_by_who_types_it(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts_of_the_test.py").write_text(PARTS)
    arguments = [*small(root, "trainer.epochs=1"), "loss.name=own_of_the_test", "hydra.run.dir=run"]
    status, _, err = cli(*arguments)
    assert status == 2
    assert "loss.name: expected one of " in err
    try:
        assert cli("--import", "parts_of_the_test", *arguments)[0] == 0
    finally:
        LOSSES.pop("own_of_the_test", None)
        sys.modules.pop("parts_of_the_test", None)
    result = artifacts.read_result(tmp_path / "run")
    assert result is not None
    assert result["config"]["loss"] == {"name": "own_of_the_test"}


@pytest.mark.parametrize("arguments", [["--import"], ["--import="], ["--import", "no_such_module"]])
def test_a_module_that_cannot_be_imported_is_one_line(arguments: list[str], cli: Cli) -> None:
    status, _, err = cli("seed=1", *arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: --import")


def test_the_table_shows_every_metric_of_both_parts() -> None:
    lines = table({"valid": {"mrr": 0.25, "long name@10": 1.0}, "test": {"mrr": 0.125, "long name@10": 0}}).splitlines()
    assert [line.split() for line in lines[1:]] == [["valid", "0.2500", "1.0000"], ["test", "0.1250", "0.0000"]]
    assert len({len(line) for line in lines}) == 1


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_too_little_memory_says_what_to_lower(error: Exception) -> None:
    found = r"out of memory: lower trainer\.batch_size, or evaluation\.memory_mb"
    with pytest.raises(TrainingError, match=found), memory_explained():
        raise error


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), memory_explained():
        raise RuntimeError("shapes differ")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("refused", ["loss=focal", "loss=focal loss.gamma=-1", "loss=nosuch", "+loss.nosuch=1"])
def test_a_refused_run_leaves_every_byte_of_a_run_that_can_still_be_resumed(
    refused: str, cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = [*small(root, "trainer.epochs=1"), "hydra.run.dir=run"]
    assert cli(*begun)[0] == 0
    (tmp_path / "run" / artifacts.RESULT).unlink()
    before = contents(tmp_path / "run")
    assert cli(*begun, *refused.split())[0] == 2
    assert contents(tmp_path / "run") == before
    assert cli("resume=run")[0] == 0


def test_the_record_of_a_run_is_hydras(cli: Cli, root: Path, tmp_path: Path) -> None:
    """To the byte, as far as two folders can be alike."""
    arguments = [*small(root, "trainer.epochs=1"), "seed=3"]
    assert cli(*arguments, "hydra.run.dir=ours")[0] == 0
    assert cli(*arguments, "hydra.run.dir=hydr", "hydra.output_subdir=.hydra")[0] == 0
    ours, theirs = contents(tmp_path / "ours" / ".hydra"), contents(tmp_path / "hydr" / ".hydra")
    asked = b"    - hydra.output_subdir=.hydra\n"
    assert ours == {name: text.replace(asked, b"").replace(b"hydr\n", b"ours\n") for name, text in theirs.items()}
    assert {path.name for path in (tmp_path / "ours").iterdir()} == {
        path.name for path in (tmp_path / "hydr").iterdir()
    }


def test_a_resumed_run_keeps_the_record_of_its_start(cli: Cli, root: Path, tmp_path: Path) -> None:
    assert cli(*small(root, "trainer.epochs=1"), "hydra.run.dir=run")[0] == 0
    before = contents(tmp_path / "run" / ".hydra")
    assert cli("resume=run", "trainer.epochs=2")[0] == 0
    assert contents(tmp_path / "run" / ".hydra") == before


@pytest.mark.parametrize("name", ["train.log", ".lock", "metrics.jsonl", ".hydra/hydra.yaml"])
def test_a_strangers_folder_does_not_lead_a_resumed_run_elsewhere(
    name: str, cli: Cli, root: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    assert cli(*small(root, "trainer.epochs=1"), "hydra.run.dir=run")[0] == 0
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).symlink_to(mine)
    status, _, err = cli("resume=run", "trainer.epochs=2")
    assert (status, mine.read_text()) == (2, "mine")
    assert err.startswith(f"error: {tmp_path / 'run' / name}: expected a file of the run, found a link to {mine}")


@pytest.mark.parametrize("sweeper", ["basic", "resumable"])
def test_a_sweep_with_a_failed_run_ends_in_1_whoever_sweeps(sweeper: str, cli: Cli, root: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("no ratings\n")
    line = ["-m", f"hydra/sweeper={sweeper}", "hydra/launcher=basic", "hydra.sweep.dir=s", "data=csv", "seed=1,2"]
    status, _, err = cli(*line, f"data.archive={tmp_path / 'bad.csv'}", f"data.root='{root}'", "trainer.progress=false")
    assert status == 1
    assert "; for details: python -m ncf.status " in err.splitlines()[-1]
    assert len(list((tmp_path / "s").glob(f"*/{FAILURE}"))) == 2


def test_a_failure_in_a_worker_of_another_sweeper_reaches_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_hydra_runs_it(monkeypatch, tmp_path, "MULTIRUN")
    said = hydra_app.HydraConfig.get()
    said.runtime.choices = {"hydra/sweeper": "basic"}
    monkeypatch.setattr(hydra_app.HydraConfig, "get", lambda: said)
    monkeypatch.setenv("NCF_DRIVER", "1")
    monkeypatch.setattr(hydra_app, "end_with_driver", lambda: None)

    def fail(*given: object) -> None:
        raise TrainingError("x")

    with pytest.raises(hydra_app.FailedRunError, match=f"^{tmp_path}: the run failed$"):
        hydra_app.hydra_job(fail)(OmegaConf.create({"resume": None}))
