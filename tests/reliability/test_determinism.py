"""What the same numbers cost, and how much they depend on threads."""

import json
import time
from pathlib import Path

import torch
from toys import compose, small

from ncf import checkpoint, results, train
from ncf.signals import StopFlag

# The layers of the default model, since small ones are never split between threads.
FULL_SIZE = "model.gmf_factors=64", "model.mlp_factors=64", "model.hidden=[128,64,32]", "trainer.epochs=1"


def processor_seconds(folder: Path, root: Path, *overrides: str) -> float:
    """Processor seconds of the epochs of a run in `folder`."""
    folder.mkdir()
    job = train.prepare(compose(*small(root, *overrides)), folder, StopFlag())
    assert isinstance(job, train.Job)
    begun = time.process_time()
    assert job.trainer.fit()
    return time.process_time() - begun


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
        result = train.train(compose(*small(root, f"trainer.threads={threads}", *FULL_SIZE)), folder, StopFlag())
        assert result is not None
        state = checkpoint.load(folder)
        assert state is not None
        states.append(state["model"])
        losses.append(json.loads((folder / results.METRICS).read_text())["train_loss"])
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
    job = train.prepare(cfg, tmp_path, StopFlag())
    assert isinstance(job, train.Job)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        job.trainer.checkpoint()
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) <= 0.02 * 60
