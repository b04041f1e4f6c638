"""The command line: from overrides to a run folder, and from bad input to one clear message before data is read."""

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from toys import compose, same, small

from ncf import train
from ncf.core.signals import StopFlag
from ncf.data import DATASETS
from ncf.errors import CheckpointError, ConfigError, DataError, NcfError
from ncf.runs import artifacts, checkpoint
from ncf.runs.identity import config_hash
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Cli]:
    """cli(*arguments) -> exit status, stdout and stderr of `python -m ncf.train`, in this process to save its start."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ncf.train", *arguments])
        capfd.readouterr()
        try:
            train.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capfd.readouterr()

    yield call
    logger.handlers[:], logger.level = handlers, level


def trained(folder: Path, root: Path, *overrides: str) -> dict:
    """The result of a small run in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    result = train.train(compose(*small(root, *overrides)), folder, StopFlag())
    assert result is not None
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The folder of a finished small run."""
    folder = tmp_path_factory.mktemp("finished")
    trained(folder, root)
    return folder


def test_a_finished_folder_holds_what_the_contract_says(finished: Path) -> None:
    result = json.loads((finished / artifacts.RESULT).read_text())
    names = {f"{metric}@{k}" for metric in ("hit", "ndcg") for k in (5, 10, 20)} | {"mrr"}
    assert result["valid"].keys() == result["test"].keys() == names
    assert all(0 <= value <= 1 for part in ("valid", "test") for value in result[part].values())
    assert result["config"]["trainer"]["epochs"] == 3
    assert result["config_hash"] == config_hash(result["config"])
    assert (result["seed"], result["device"], result["epochs"]) == (42, "cpu", 3)
    assert len(result["data_digest"]) == 64
    assert result["versions"].keys() >= {"ncf", "torch", "python"}
    lines = [json.loads(line) for line in (finished / artifacts.EPOCHS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[0].keys() == {"epoch", "train_loss", "train_seconds", "valid_seconds", "rows_per_second", *names}
    assert lines[result["best_epoch"] - 1]["ndcg@10"] == max(line["ndcg@10"] for line in lines)
    assert checkpoint.load(finished).progress.best_epoch == result["best_epoch"]
    assert not list(finished.glob(".tmp-*"))


def test_test_metrics_are_those_of_the_best_epoch_on_validation(finished: Path, root: Path, tmp_path: Path) -> None:
    """The checkpoint's best weights give the result's metrics again, and its last weights do not."""
    result, state = artifacts.read_result(finished), checkpoint.load(finished)
    job = open_job(plan_run(compose(*small(root))), tmp_path, StopFlag())
    assert isinstance(job, Job)
    targets = train.test_targets(job.split, "cpu")
    job.trainer.model.load_state_dict(state["best"])
    assert job.plan.evaluation.metrics(job.plan.evaluation.evaluate(job.trainer.model.score, targets)) == result["test"]


def test_two_runs_of_one_seed_leave_identical_ranks_and_weights(finished: Path, root: Path, tmp_path: Path) -> None:
    again = trained(tmp_path / "again", root)
    assert (tmp_path / "again" / artifacts.RANKS).read_bytes() == (finished / artifacts.RANKS).read_bytes()
    states = [checkpoint.load(folder) for folder in (finished, tmp_path / "again")]
    assert same(states[0]["model"], states[1]["model"])
    assert again["test"] == artifacts.read_result(finished)["test"]
    other = trained(tmp_path / "other", root, "seed=43")
    assert other["test"] != again["test"]


def test_a_finished_run_is_not_run_again(finished: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "build_trainer", None)
    assert trained(finished, root) == artifacts.read_result(finished)


def test_where_files_lie_and_what_is_shown_does_not_change_a_result(finished: Path, tmp_path: Path) -> None:
    moved = trained(tmp_path / "moved", tmp_path / "other root", "trainer.checkpoint_every=1epoch")
    assert moved["config_hash"] == artifacts.read_result(finished)["config_hash"]
    assert moved["test"] == artifacts.read_result(finished)["test"]


@pytest.mark.parametrize("model", ["gmf", "mlp"])
@pytest.mark.parametrize("loss", ["focal", "focal_clamped"])
def test_models_and_losses_combine(model: str, loss: str, root: Path, tmp_path: Path) -> None:
    plain = [o for o in small(root) if not o.startswith("model.")]
    cfg = compose(*plain, f"model={model}", "model.factors=4", f"loss={loss}", "sampler=popularity", "trainer.epochs=1")
    assert train.train(cfg, tmp_path, StopFlag())["valid"]["mrr"] > 0


def test_a_model_without_gradient_takes_the_same_road(root: Path, tmp_path: Path) -> None:
    plain = [o for o in small(root) if not o.startswith("model.")]
    result = train.train(compose(*plain, "model=popularity"), tmp_path, StopFlag())
    assert result["test"]["ndcg@10"] > 0


def test_deterministic_algorithms_are_switched_on_and_off(root: Path, tmp_path: Path) -> None:
    trained(tmp_path / "on", root, "deterministic=true", "trainer.epochs=1")
    assert torch.are_deterministic_algorithms_enabled()
    trained(tmp_path / "off", root, "trainer.epochs=1")
    assert not torch.are_deterministic_algorithms_enabled()


BAD = [
    ("neg_ratio=0", "neg_ratio: .*greater than or equal to 1, got 0"),
    ("neg_ratio=-1", "neg_ratio: .*greater than or equal to 1, got -1"),
    ("neg_ratio=2.5", "neg_ratio: .*integer, got 2.5"),
    ("neg_ratio=ten", "neg_ratio: .*integer, got 'ten'"),
    ("neg_ratio=null", "neg_ratio: .*integer, got None"),
    ("neg_ratio=true", "neg_ratio: .*integer, got True"),
    ("trainer.batch_size=10", r"trainer\.batch_size: .*1 \+ neg_ratio = 11 rows, got 10"),
    ("neg_ratio=300", r"trainer\.batch_size: .*301 rows, got 256"),
    ("trainer.batch_size=0", r"trainer\.batch_size: "),
    ("optimizer.lr=-1", r"optimizer\.lr: .*greater than 0, got -1"),
    ("optimizer.lr=0", r"optimizer\.lr: .*greater than 0, got 0"),
    ("optimizer.lr=nan", r"optimizer\.lr: .*finite number, got nan"),
    ("optimizer.lr=inf", r"optimizer\.lr: .*finite number, got inf"),
    ("optimizer.weight_decay=-0.1", r"optimizer\.weight_decay: "),
    ("trainer.epochs=0", r"trainer\.epochs: .*greater than or equal to 1, got 0"),
    ("trainer.epochs=1.5", r"trainer\.epochs: .*integer, got 1.5"),
    ("trainer.patience=0", r"trainer\.patience: "),
    ("trainer.monitor=ndcg@11", r"trainer\.monitor: expected one of hit@5, .*, mrr, got 'ndcg@11'"),
    ("trainer.checkpoint_every=often", r"trainer\.checkpoint_every: .*'30s'|\"30s\""),
    ("trainer.threads=0", r"trainer\.threads: "),
    ("loss=focal,loss.gamma=-1", r"loss\.gamma: .*greater than or equal to 0, got -1"),
    ("loss=focal,loss.alpha=1.5", r"loss\.alpha: .*1.5"),
    ("loss=alpha_bce,loss.alpha=0", r"loss\.alpha: .*greater than 0"),
    ("loss=focal,loss.gamma=two", r"loss\.gamma: .*number, got 'two'"),
    ("+loss.gamma=2", r"loss\.gamma: unknown key"),
    ("loss.name=nosuch", r"loss\.name: expected one of .*bce"),
    ("loss.name=[bce]", r"loss\.name: expected one of .*bce"),
    ("+loss._target_=os.system", r"loss\._target_: unknown key"),
    ("+model.factors=8", r"model\.factors: unknown key, .*did you mean '.*factors'"),
    ("model.hidden=[]", r"model\.hidden: "),
    ("model.hidden=[8,0]", r"model\.hidden\.1: .*greater than or equal to 1, got 0"),
    ("model.hidden=8", r"model\.hidden: .*list"),
    ("model.gmf_factors=0", r"model\.gmf_factors: "),
    ("~model", r"model\.name: "),
    ("sampler=popularity,sampler.power=-1", r"sampler\.power: "),
    ("evaluation.cutoffs=[0]", r"evaluation\.cutoffs\.0: .*greater than 0"),
    ("evaluation.cutoffs=[]", r"evaluation\.cutoffs: "),
    ("evaluation.ties=lucky", r"evaluation\.ties: .*'average', 'optimistic' or 'pessimistic'"),
    ("evaluation.memory_mb=0", r"evaluation\.memory_mb: "),
    ("split.ties=random", r"split\.ties: "),
    ("data.threshold=high", r"data\.threshold: "),
    ("data.duplicates=keep", r"data\.duplicates: "),
    ("data.archive=[a,b]", r"data\.archive: "),
    ("seed=-1", "seed: .*greater than or equal to 0"),
    ("seed=1.0", "seed: .*integer"),
    ("seed=99999999999999999999", "seed: "),
    ("device=gpu", "device: .*got 'gpu'"),
    ("deterministic=1", "deterministic: .*boolean"),
    ("+epochs=3", "epochs: unknown key"),
    ("optimizer.lr=${nothing}", "nothing"),
    ("optimizer.lr=${oc.env:NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
    ("loss=gbce", r"loss\.candidates: .*missing"),
    ("data=csv", r"data\.archive: .*missing"),
]


def unread(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load` with its keys, but it must not come to be called."""

    @functools.wraps(load)
    def refuse(**keys: object) -> None:
        raise AssertionError("data was read")

    return refuse


@pytest.mark.parametrize(("override", "message"), BAD)
def test_bad_values_are_refused_by_their_key_before_data_is_read(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DATASETS:
        monkeypatch.setitem(DATASETS, name, unread(DATASETS[name]))
    cfg = compose(*(override.split(",") if not override.startswith(("data.archive", "model.hidden")) else [override]))
    with pytest.raises(ConfigError, match=rf"(?i){message}") as caught:
        train.train(cfg, tmp_path, StopFlag())
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_a_device_is_an_error_not_a_silent_cpu_run(device: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^device: .*got '{device}'; CUDA devices found: 0\. device=cpu"):
        train.train(compose(f"device={device}", f"data.archive={tmp_path / 'gone.zip'}"), tmp_path, StopFlag())


def test_a_cut_off_beyond_the_catalogue_is_refused_before_training(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^evaluation\.cutoffs: expected at most \d+, .* got 500$"):
        trained(tmp_path, root, "evaluation.cutoffs=[10,500]")
    assert not (tmp_path / checkpoint.NEWEST).exists()


def csv(tmp_path: Path, text: str) -> tuple[str, ...]:
    (tmp_path / "in.csv").write_text(text)
    return "data=csv", f"data.archive='{tmp_path / 'in.csv'}'", f"data.root='{tmp_path / 'root'}'"


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("user_id,item_id,rating\n1,1,5\n", "data.timestamp=null", "expected timestamps, found none; split=leave_one"),
        ("user_id,item_id,rating,timestamp\n1,1,3,5\n", "seed=1", "no rating reaches data.threshold=4"),
        ("user_id,item_id,rating,timestamp\n1,1,5,5\n1,2,5\n", "seed=1", r"in\.csv, line 3: "),
        ("user_id,item_id,rating,timestamp\n1,1,nan,5\n", "seed=1", r"in\.csv, line 2: "),
    ],
)
def test_bad_data_is_refused_before_training(text: str, override: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=message):
        train.train(compose(*csv(tmp_path, text), override), tmp_path / "run", StopFlag())
    assert not (tmp_path / "run" / checkpoint.NEWEST).exists()


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
    status, out, _ = cli(*small(root), "hydra.run.dir='a run'")
    lines = out.splitlines()
    assert status == 0
    assert [line.split()[0] for line in lines[-4:-1]] == ["hit@5", "valid", "test"]
    assert Path(lines[-1]) == tmp_path / "a run"
    assert OmegaConf.load(tmp_path / "a run" / ".hydra" / "config.yaml").seed == 42
    shown = dict(zip(lines[-4].split(), map(float, lines[-2].split()[1:]), strict=True))
    result = artifacts.read_result(tmp_path / "a run")
    assert shown == pytest.approx(result["test"], abs=5e-5)


@pytest.mark.parametrize("monitor", ["ndcg@10", "hit@5"])
def test_the_job_returns_the_monitored_validation_metric_for_sweepers(
    monitor: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = compose(*small(root, f"trainer.monitor={monitor}", "trainer.epochs=1"))
    hydra = OmegaConf.create({"runtime": {"output_dir": str(tmp_path)}, "mode": "RUN"})
    monkeypatch.setattr(train.HydraConfig, "get", lambda: hydra)
    assert train.run(cfg) == artifacts.read_result(tmp_path)["valid"][monitor]


def test_help_and_cfg_say_something_useful(cli: Cli) -> None:
    status, out, _ = cli("--help")
    assert status == 0
    for words in ("python -m ncf.train", "loss: ", "neumf", "Exit status", "resume"):
        assert words in out
    status, out, _ = cli("loss=focal", "neg_ratio=50", "--cfg", "job")
    assert status == 0
    printed = OmegaConf.create(out)
    assert (printed.loss.name, printed.neg_ratio, printed.loss.gamma) == ("focal", 50, 2.0)


def test_no_file_is_left_beside_the_run_folder(cli: Cli, root: Path, tmp_path: Path) -> None:
    cli(*small(root, "trainer.epochs=1"), "hydra.run.dir=only")
    assert {path.name for path in tmp_path.iterdir()} == {"only"}


def test_every_error_a_user_can_cause_is_an_ncf_error() -> None:
    for error in (ConfigError, DataError, CheckpointError):
        assert issubclass(error, NcfError)
