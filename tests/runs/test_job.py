"""A run in hand: opened at its first step or where its checkpoint stands, and finished with its result last."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from quickly import composed
from toys import same, small

from ncf.data import Split
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.models import NeuMF
from ncf.runs import artifacts, checkpoint, job
from ncf.runs.job import Job, Result, build_trainer, open_job, set_up_torch
from ncf.runs.plan import plan_run
from ncf.runs.tracking import NoTracker
from ncf.training.fitting import OneFit
from ncf.training.trainer import Trainer


def never() -> bool:
    return False


def opened(folder: Path, root: Path, *overrides: str, stopped: Callable[[], bool] = never) -> Job | Result:
    folder.mkdir(exist_ok=True)
    return open_job(plan_run(composed(*small(root, *overrides))), folder, stopped)


def in_hand(folder: Path, root: Path, *overrides: str, stopped: Callable[[], bool] = never) -> Job:
    found = opened(folder, root, *overrides, stopped=stopped)
    assert isinstance(found, Job)
    return found


def after(steps: int) -> Callable[[], bool]:
    """stopped() -> True once it has been asked this often, which is after each step."""
    left = [steps]

    def stopped() -> bool:
        left[0] -= 1
        return left[0] <= 0

    return stopped


def test_a_new_run_stands_at_its_first_step(root: Path, tmp_path: Path) -> None:
    run = in_hand(tmp_path, root)
    assert (run.trainer.progress.epoch, run.trainer.progress.step, run.trainer.progress.history) == (1, 0, [])
    assert (run.folder, run.registration) == (tmp_path, None)
    assert (tmp_path / artifacts.EPOCHS).read_text() == ""


def test_a_run_goes_on_where_its_checkpoint_stands(root: Path, tmp_path: Path) -> None:
    """23 steps an epoch: stopped after the seventh of the second."""
    run = in_hand(tmp_path, root, stopped=after(30))
    assert run.run() is None
    again = in_hand(tmp_path, root)
    assert isinstance(again.trainer, Trainer)
    assert (again.trainer.progress.epoch, again.trainer.progress.step) == (2, 7)
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert same(again.trainer.state()["model"], saved.model)
    assert same(again.trainer.state()["best"], saved.best)


def test_an_epoch_of_a_resumed_run_is_written_as_it_was_with_whole_numbers_whole(root: Path, tmp_path: Path) -> None:
    assert in_hand(tmp_path, root, stopped=after(30)).run() is None
    first = (tmp_path / artifacts.EPOCHS).read_text()
    assert first.startswith('{"epoch": 1, ')
    in_hand(tmp_path, root)
    assert (tmp_path / artifacts.EPOCHS).read_text() == first


def test_a_run_that_is_finished_is_its_result(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = in_hand(tmp_path, root, "trainer.epochs=1").run()
    assert result is not None
    monkeypatch.setattr(job, "build_trainer", None)
    assert opened(tmp_path, root, "trainer.epochs=1") == artifacts.read_result(tmp_path)
    with pytest.raises(CheckpointError, match=r"seed: 42 -> 43"):
        opened(tmp_path, root, "trainer.epochs=1", "seed=43")


def test_a_finished_run_goes_on_for_longer_and_says_so(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert in_hand(tmp_path, root, "trainer.epochs=1").run() is not None
        assert "was finished" not in caplog.text
        run = in_hand(tmp_path, root, "trainer.epochs=2")
    said = f"{tmp_path} was finished after 1 epoch; it goes on to trainer.epochs=2 and trainer.patience="
    assert said in caplog.text
    assert "its result is replaced at the end" in caplog.text
    assert run.trainer.progress.epoch == 2
    result = run.run()
    assert result is not None
    assert result["epochs"] == 2


def test_the_result_is_written_last(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its presence means finished, so everything else has to be there by then."""
    before: list[str] = []
    write = artifacts.write_result

    def witnessed(folder: Path, result: dict[str, Any]) -> None:
        before.extend(sorted(path.name for path in folder.iterdir()))
        write(folder, result)

    monkeypatch.setattr(artifacts, "write_result", witnessed)
    assert in_hand(tmp_path, root, "trainer.epochs=1").run() is not None
    assert before == [checkpoint.NEWEST, artifacts.EPOCHS, artifacts.RANKS]


def test_test_positives_are_ranked_only_to_finish(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    targets = job.test_targets

    def witnessed(split: Split, device: torch.device) -> Any:
        asked.append("test")
        return targets(split, device)

    monkeypatch.setattr(job, "test_targets", witnessed)
    run = in_hand(tmp_path, root, "trainer.epochs=1")
    assert run.fit()
    assert asked == []
    run.finish()
    assert asked == ["test"]


class Recorder(NoTracker):
    """A tracker that notes what the folder holds when it begins and when it ends."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    @contextmanager
    def following(self, folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
        self.seen.append((folder / artifacts.RESULT).exists())
        yield
        self.seen.append((folder / artifacts.RESULT).exists())


def test_a_tracker_follows_a_run_from_before_its_first_step_to_its_result(root: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    plan = replace(plan_run(composed(*small(root, "trainer.epochs=1"))), tracking=recorder)
    run = open_job(plan, tmp_path, never)
    assert isinstance(run, Job)
    assert run.run() is not None
    assert recorder.seen == [False, True]


def test_a_registration_goes_into_the_result_by_its_digest(root: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("question: which\n")
    result = in_hand(tmp_path / "run", root, "trainer.epochs=1", f"registration='{study}'").run()
    assert result is not None
    assert result["registration"] == {"path": str(study), "sha256": hashlib.sha256(study.read_bytes()).hexdigest()}
    with pytest.raises(ConfigError, match="registration: expected a file"):
        opened(tmp_path / "other", root, "registration=nowhere.yaml")


@pytest.mark.parametrize("override", ["trainer.cuda_graph=true", "trainer.precision=tf32", "registration=nowhere.yaml"])
def test_what_this_machine_cannot_do_is_refused_before_data_is_read(override: str, root: Path, tmp_path: Path) -> None:
    def unread() -> None:
        raise AssertionError("data was read")

    plan = replace(plan_run(composed(*small(root, override))), data=partial(unread))
    with pytest.raises(ConfigError):
        open_job(plan, tmp_path, never)
    assert not list(tmp_path.iterdir())


def test_other_data_under_the_same_settings_is_refused(root: Path, tmp_path: Path) -> None:
    assert in_hand(tmp_path, root, stopped=after(3)).run() is None
    plan = plan_run(composed(*small(root)))
    plan = replace(plan, data=partial(plan.data, seed=1))
    with pytest.raises(CheckpointError, match="cannot resume with other data than it was started with"):
        open_job(plan, tmp_path, never)


def test_temporary_files_of_a_killed_process_are_removed(root: Path, tmp_path: Path) -> None:
    (tmp_path / ".tmp-checkpoint.pt-x").write_text("half")
    in_hand(tmp_path, root)
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_model_without_gradient_is_fitted_once(root: Path, tmp_path: Path) -> None:
    plain = [o for o in small(root) if not o.startswith("model.")]
    run = open_job(plan_run(composed(*plain, "model=popularity")), tmp_path, never)
    assert isinstance(run, Job)
    assert isinstance(run.trainer, OneFit)
    assert run.run() is not None


def test_the_seed_alone_draws_the_initial_weights(root: Path, tmp_path: Path) -> None:
    """Runs of one seed that differ in loss or ratio start from the same weights, so that they can be paired."""
    one = in_hand(tmp_path / "1", root, "loss=focal", "neg_ratio=4")
    models = [one, in_hand(tmp_path / "2", root), in_hand(tmp_path / "3", root, "seed=7")]
    states = [run.trainer.model.state_dict() for run in models]
    assert isinstance(one.trainer.model, NeuMF)
    assert same(dict(states[0]), dict(states[1]))
    assert not same(dict(states[0]), dict(states[2]))


def test_a_trainer_has_no_way_to_a_test_item(root: Path, tmp_path: Path) -> None:
    """It is built from a split whose test part fails at any touch."""

    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError("a test item was reached")

    run = in_hand(tmp_path, root)
    split = replace(run.split)
    object.__setattr__(split, "test", Untouchable())
    hooks = {"record": lambda line: None, "save": lambda state: None, "stopped": after(30)}
    trainer = build_trainer(run.plan, split, torch.device("cpu"), **hooks)
    assert not trainer.fit()


def test_users_without_a_negative_are_named_before_training(tmp_path: Path) -> None:
    rows = [f"{user},{item},5,{item}" for user in range(9) for item in range(12) if user == 0 or (user + item) % 2]
    (tmp_path / "in.csv").write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows) + "\n")
    data = ["data=csv", f"data.archive='{tmp_path / 'in.csv'}'", f"data.root='{tmp_path / 'root'}'"]
    plain = [o for o in small(tmp_path, "evaluation.cutoffs=[5,10]") if not o.startswith("data")]
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="user 0 has all 12 items as positives"):
        open_job(plan_run(composed(*data, *plain)), tmp_path / "run", never)


def test_threads_and_determinism_are_those_of_the_plan(root: Path) -> None:
    for threads, deterministic in ((2, True), (1, False)):
        override = f"trainer.threads={threads}", f"deterministic={deterministic}"
        set_up_torch(plan_run(composed(*small(root, *override))))
        assert torch.get_num_threads() == threads
        assert torch.are_deterministic_algorithms_enabled() == deterministic
