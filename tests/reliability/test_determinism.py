"""What the same numbers cost, and how much they depend on threads. With -s the slow ones print what they measured."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
import torch
from toys import compose, small

from ncf.runs import artifacts, checkpoint
from ncf.runs.job import Job, open_job
from ncf.runs.plan import plan_run
from ncf.train import train
from ncf.training.trainer import Trainer

# The layers of the default model, since small ones are never split between threads.
FULL_SIZE = "model.gmf_factors=64", "model.mlp_factors=64", "model.hidden=[128,64,32]", "trainer.epochs=1"


def processor_seconds(folder: Path, root: Path, *overrides: str) -> float:
    """Processor seconds of the epochs of a run in `folder`."""
    folder.mkdir()
    job = open_job(plan_run(compose(*small(root, *overrides))), folder, lambda: False)
    assert isinstance(job, Job)
    begun = time.process_time()
    assert job.trainer.fit()
    return time.process_time() - begun


@pytest.mark.slow
def test_deterministic_algorithms_cost_at_most_a_fifth(root: Path, tmp_path: Path) -> None:
    """Alternating, the best of each: on a CPU they are the algorithms that run anyway."""
    seconds: dict[str, list[float]] = {"true": [], "false": []}
    for turn in range(4):
        for on, measured in seconds.items():
            measured.append(processor_seconds(tmp_path / f"{on}{turn}", root, f"deterministic={on}", *FULL_SIZE))
    torch.use_deterministic_algorithms(False)
    assert min(seconds["true"]) <= 1.2 * min(seconds["false"])


def test_a_second_thread_changes_results_by_rounding_only(root: Path, tmp_path: Path) -> None:
    """The loss of an epoch by less than 1e-6 of it, no weight by more than 1e-4, and no metric at all."""
    states, losses, metrics = [], [], []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        result = train(compose(*small(root, f"trainer.threads={threads}", *FULL_SIZE)), folder)
        assert result is not None
        saved = checkpoint.load(folder)
        assert saved is not None
        assert saved.model is not None
        states.append(saved.model)
        losses.append(json.loads((folder / artifacts.EPOCHS).read_text())["train_loss"])
        metrics.append((result["valid"], result["test"]))
    torch.set_num_threads(1)
    furthest = max((a - b).abs().max().item() for a, b in zip(*(s.values() for s in states), strict=True))
    assert abs(losses[0] - losses[1]) <= 1e-6 * losses[0]
    assert furthest <= 1e-4
    assert metrics[0] == metrics[1]


def test_a_checkpoint_a_minute_costs_less_than_a_fiftieth_of_training(tmp_path: Path, root: Path) -> None:
    """The default interval, and the default model of MovieLens-100K: 942 users, 1,447 items."""
    assert compose().trainer.checkpoint_every == "60s"
    cfg = compose(*small(root, *FULL_SIZE, "data.users=942", "data.items=1447", "data.interactions=9000"))
    job = open_job(plan_run(cfg), tmp_path, lambda: False)
    assert isinstance(job, Job)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        job.trainer.checkpoint()
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) <= 0.02 * 60


MOVIELENS = f"data.root='{Path(__file__).parents[2] / 'data'}'", "trainer.progress=false", "device=cpu"


def prepared(folder: Path, *overrides: str) -> Job:
    """The default run on MovieLens-100K, at its first step."""
    folder.mkdir()
    job = open_job(plan_run(compose(*MOVIELENS, *overrides)), folder, lambda: False)
    assert isinstance(job, Job)
    return job


def epoch(job: Job) -> None:
    """One epoch with its validation."""
    trainer = job.trainer
    assert isinstance(trainer, Trainer)
    for batch in trainer.batches.epoch(trainer.progress.epoch):
        trainer.step(batch)
    trainer.progress.seconds = 1.0  # `end_epoch` divides by it
    trainer.end_epoch()


def spent(deed: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    begun = time.process_time()
    deed()
    return time.process_time() - begun


@pytest.mark.slow
def test_a_checkpoint_an_epoch_costs_less_than_a_fiftieth_of_it(tmp_path: Path) -> None:
    """On MovieLens-100K at the defaults; an epoch and three saves by turns."""
    job = prepared(tmp_path / "run")
    epoch(job)
    epochs, saves = [], []
    for _ in range(5):
        epochs.append(spent(lambda: epoch(job)))
        saves += [spent(job.trainer.checkpoint) for _ in range(3)]
    share = median(saves) / median(epochs)
    size = (tmp_path / "run" / checkpoint.NEWEST).stat().st_size
    print(f"epoch {median(epochs):.2f} s, save {median(saves):.4f} s of {size / 1e6:.1f} MB: {share:.2%}")
    assert share <= 0.02


@pytest.mark.slow
def test_deterministic_algorithms_on_movielens_cost_at_most_a_fifth(tmp_path: Path) -> None:
    seconds: dict[str, list[float]] = {"true": [], "false": []}
    for turn in range(5):
        for on, measured in seconds.items():
            job = prepared(tmp_path / f"{on}{turn}", f"deterministic={on}")
            measured.append(spent(lambda job=job: epoch(job)))  # type: ignore[misc]
    torch.use_deterministic_algorithms(False)
    ratio = median(seconds["true"]) / median(seconds["false"])
    print(f"deterministic {median(seconds['true']):.2f} s, not {median(seconds['false']):.2f} s: {ratio:.3f}")
    assert ratio <= 1.2


@pytest.mark.slow
def test_threads_on_movielens(tmp_path: Path) -> None:
    """An epoch in large batches, whose layers are split between threads; metrics within a hundredth."""
    states, losses, metrics = [], [], []
    for threads in (1, 2):
        job = prepared(
            tmp_path / str(threads),
            f"trainer.threads={threads}",
            "neg_ratio=4",
            "trainer.batch_size=2048",
            "trainer.epochs=1",
        )
        assert job.trainer.fit()
        result = job.finish()
        states.append(job.trainer.state()["model"])
        losses.append(job.trainer.progress.history[-1]["train_loss"])
        metrics.append(list(result["test"].values()))
    torch.set_num_threads(1)
    furthest = max((a - b).abs().max().item() for a, b in zip(*(s.values() for s in states), strict=True))
    loss = abs(losses[0] - losses[1]) / losses[0]
    metric = max(abs(a - b) for a, b in zip(*metrics, strict=True))
    print(f"2 threads instead of 1: weights within {furthest:.1e}, loss within {loss:.1e} of it, metrics {metric:.1e}")
    assert loss <= 1e-5
    assert metric <= 0.01
