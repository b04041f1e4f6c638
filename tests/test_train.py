"""`python -m ncf.train`: one run, from its configuration to the folder that it leaves."""

import json
from pathlib import Path

import pytest
import torch
from finished_runs import FinishedRuns
from toys import compose, same, small

from ncf.errors import ConfigError, DataError
from ncf.evaluation import test_targets
from ncf.runs import artifacts, checkpoint
from ncf.runs.identity import config_hash
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run
from ncf.train import train


def trained(folder: Path, root: Path, *overrides: str) -> dict:
    """The result of a small run in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    result = train(compose(*small(root, *overrides)), folder)
    assert result is not None
    return result


@pytest.fixture
def finished(runs: FinishedRuns) -> Path:
    """The folder of a finished small run, to be looked at only."""
    return runs["neumf"]


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
    saved = checkpoint.load(finished)
    assert saved is not None
    assert saved.progress.best_epoch == result["best_epoch"]
    assert not list(finished.glob(".tmp-*"))


def test_test_metrics_are_those_of_the_best_epoch_on_validation(finished: Path, root: Path, tmp_path: Path) -> None:
    """The checkpoint's best weights give the result's metrics again."""
    result, saved = artifacts.read_result(finished), checkpoint.load(finished)
    assert result is not None
    assert saved is not None
    job = open_job(plan_run(compose(*small(root))), tmp_path, lambda: False)
    assert isinstance(job, Job)
    job.trainer.model.load_state_dict(saved.best)
    ranks = job.plan.evaluation.evaluate(job.trainer.model.score, test_targets(job.split, "cpu"))
    assert job.plan.evaluation.metrics(ranks) == result["test"]


def test_two_runs_of_one_seed_leave_identical_ranks_and_weights(
    finished: Path, runs: FinishedRuns, root: Path, tmp_path: Path
) -> None:
    again = trained(tmp_path, root)
    assert (tmp_path / artifacts.RANKS).read_bytes() == (finished / artifacts.RANKS).read_bytes()
    states = [checkpoint.load(folder) for folder in (finished, tmp_path)]
    assert states[0] is not None
    assert states[1] is not None
    assert same(states[0].model, states[1].model)
    for folder, equal in ((finished, True), (runs["seed7"], False)):
        result = artifacts.read_result(folder)
        assert result is not None
        assert (result["test"] == again["test"]) == equal


def test_a_finished_run_is_not_run_again(finished: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncf.runs.job.build_trainer", None)
    assert trained(finished, root) == artifacts.read_result(finished)


def test_where_files_lie_and_what_is_shown_does_not_change_a_result(finished: Path, tmp_path: Path) -> None:
    moved = trained(tmp_path / "moved", tmp_path / "other root", "trainer.checkpoint_every=1epoch")
    result = artifacts.read_result(finished)
    assert result is not None
    assert moved["config_hash"] == result["config_hash"]
    assert moved["test"] == result["test"]


def test_the_plain_step_gives_the_metrics_of_the_fast_one(finished: Path, root: Path, tmp_path: Path) -> None:
    """`trainer.fast=false` runs what `ncf/training/step.py` says; it is another run, since the last bits may differ."""
    plain, fast = trained(tmp_path, root, "trainer.fast=false"), artifacts.read_result(finished)
    assert fast is not None
    assert plain["config_hash"] != fast["config_hash"]
    assert plain["test"] == pytest.approx(fast["test"], abs=0.02)
    losses = [
        [json.loads(line)["train_loss"] for line in (folder / artifacts.EPOCHS).read_text().splitlines()]
        for folder in (tmp_path, finished)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("model", ["gmf", "mlp"])
@pytest.mark.parametrize("loss", ["focal", "focal_clamped"])
def test_models_and_losses_combine(model: str, loss: str, root: Path, tmp_path: Path) -> None:
    plain = [o for o in small(root) if not o.startswith("model.")]
    cfg = compose(*plain, f"model={model}", "model.factors=4", f"loss={loss}", "sampler=popularity", "trainer.epochs=1")
    result = train(cfg, tmp_path)
    assert result is not None
    assert result["valid"]["mrr"] > 0


def test_a_model_without_gradient_takes_the_same_road(runs: FinishedRuns) -> None:
    result = artifacts.read_result(runs["popularity"])
    assert result is not None
    assert result["test"]["ndcg@10"] > 0
    assert (result["epochs"], result["best_epoch"]) == (1, 1)


def test_an_interrupted_run_has_no_result_and_goes_on(finished: Path, root: Path, tmp_path: Path) -> None:
    cfg = compose(*small(root))
    assert train(cfg, tmp_path, lambda: True) is None
    assert not (tmp_path / artifacts.RESULT).exists()
    assert (tmp_path / checkpoint.NEWEST).exists()
    result, whole = train(cfg, tmp_path), artifacts.read_result(finished)
    assert result is not None
    assert whole is not None
    assert result["test"] == whole["test"]
    assert (tmp_path / artifacts.RANKS).read_bytes() == (finished / artifacts.RANKS).read_bytes()


def test_deterministic_algorithms_are_switched_on_and_off(root: Path, tmp_path: Path) -> None:
    trained(tmp_path / "on", root, "deterministic=true", "trainer.epochs=1")
    assert torch.are_deterministic_algorithms_enabled()
    trained(tmp_path / "off", root, "trainer.epochs=1")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_cut_off_beyond_the_catalogue_is_refused_before_training(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^evaluation\.cutoffs: expected at most \d+, .* got 500$"):
        trained(tmp_path, root, "evaluation.cutoffs=[10,500]")
    assert not (tmp_path / checkpoint.NEWEST).exists()


HEADER = "user_id,item_id,rating,timestamp\n"


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("user_id,item_id,rating\n1,1,5\n", "data.timestamp=null", "expected timestamps, found none; split=leave_one"),
        (f"{HEADER}1,1,3,5\n", "seed=1", "no rating reaches data.threshold=4"),
        (f"{HEADER}1,1,5,5\n1,2,5\n", "seed=1", r"in\.csv, line 3: "),
        (f"{HEADER}1,1,nan,5\n", "seed=1", r"in\.csv, line 2: "),
    ],
    ids=["no timestamps", "no positives", "a field missing", "a rating that is no number"],
)
def test_bad_data_is_refused_before_training(text: str, override: str, message: str, tmp_path: Path) -> None:
    file, folder = tmp_path / "in.csv", tmp_path / "run"
    folder.mkdir()
    file.write_text(text)
    cfg = compose("data=csv", f"data.archive='{file}'", f"data.root='{tmp_path / 'root'}'", override)
    with pytest.raises(DataError, match=message):
        train(cfg, folder)
    assert not (folder / checkpoint.NEWEST).exists()
