"""The ways to compute a step's gradients agree; a replayed step is the step."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys import compose, replayed, run, same, small

from ncf.errors import ConfigError
from ncf.train import build_trainer, check
from ncf.training.fast.cuda_graph import GraphedStep
from ncf.training.fast.steps import Autograd, InClosedForm
from ncf.training.trainer import Trainer

NCF = ("model=gmf", "model.factors=8"), ("model=mlp", "model.factors=8", "model.hidden=[16,8]"), ("model=neumf",)


def prepared(root: Path, *overrides: str) -> Trainer:
    """A trainer of the small synthetic set."""
    other = any(override.startswith("model=") and override != "model=neumf" for override in overrides)
    base = [key for key in small(root) if not (other and key.startswith("model."))]  # those of NeuMF
    plan = check(compose(*base, *overrides))
    trainer = build_trainer(plan, plan.split(plan.data()), torch.device("cpu"))
    assert isinstance(trainer, Trainer)
    return trainer


def weights_after(trainer: Trainer, steps: int = 20) -> list[Tensor]:
    """The parameters after some steps of the first epoch."""
    for _, batch in zip(range(steps), trainer.batches.epoch(1)):
        trainer.step(*batch)
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


def autograd_of(trainer: Trainer) -> Trainer:
    """The same run as if its gradients were not known in closed form."""
    trainer._passes = Autograd(trainer.model, trainer._sum_and_slopes)
    trainer._update = trainer.optimizer.step
    trainer._flat_gradients = None
    return trainer


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("loss", ["bce", "focal", "focal_clamped", "weighted_bce"])
def test_a_run_in_closed_form_is_a_run_by_autograd(loss: str, decay: float, root: Path) -> None:
    overrides = f"loss={loss}", f"optimizer.weight_decay={decay}"
    closed, plain = prepared(root, *overrides), autograd_of(prepared(root, *overrides))
    assert closed.closed_form
    torch.testing.assert_close(weights_after(closed), weights_after(plain), rtol=1e-4, atol=1e-6)


def test_moments_and_steps_stand_in_the_checkpoint_as_autograd_leaves_them(root: Path) -> None:
    closed, plain = prepared(root), autograd_of(prepared(root))
    weights_after(closed)
    weights_after(plain)
    states = [trainer.state()["optimizer"]["state"] for trainer in (closed, plain)]
    for index, state in states[1].items():
        assert states[0][index].keys() == state.keys()
        for name, tensor in state.items():
            torch.testing.assert_close(states[0][index][name], tensor, rtol=1e-3, atol=1e-7)


def test_a_run_goes_on_in_closed_form_from_the_checkpoint_of_one_by_autograd(root: Path) -> None:
    first = autograd_of(prepared(root))
    weights_after(first)
    second = prepared(root)
    second.load(first.state())
    for _, batch in zip(range(5), first.batches.epoch(2)):
        first.step(*batch)
        second.step(*batch)
    for a, b in zip(first.model.parameters(), second.model.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("model", [*NCF, ("model=mf", "model.factors=8")])
def test_a_compiled_run_is_the_run(model: tuple[str, ...], root: Path) -> None:
    compiled, plain = prepared(root, *model, "trainer.compile=true"), prepared(root, *model)
    assert not compiled.closed_form
    steps = plain.batches.steps  # the short batch at the end of the epoch included
    torch.testing.assert_close(weights_after(compiled, steps), weights_after(plain, steps), rtol=1e-4, atol=1e-6)


def test_bfloat16_is_near_and_not_the_same(root: Path) -> None:
    half, plain = weights_after(prepared(root, "trainer.precision=bfloat16")), weights_after(prepared(root))
    assert not same(half, plain)
    assert all((a - b).norm() < 0.1 * b.norm() + 0.01 for a, b in zip(half, plain))


def test_compiling_sparse_gradients_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.compile: expected false with optimizer=row_adam"):
        check(compose(*small(root), "trainer.compile=true", "optimizer=row_adam"))


@pytest.mark.parametrize("setting", ["cuda_graph=true", "precision=tf32"])
def test_what_only_cuda_has_is_refused_on_a_cpu_before_data_is_read(setting: str, tmp_path: Path) -> None:
    ended = run(f"trainer.{setting}", "device=cpu", f"data.archive='{tmp_path / 'gone.zip'}'")
    assert ended.returncode == 2
    assert f"trainer.{setting.partition('=')[0]}: expected " in ended.stderr
    assert "needs CUDA" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_compiling_without_a_compiler_is_one_line(root: Path, tmp_path: Path) -> None:
    base = [key for key in small(root) if not key.startswith("model.")]
    where = f"hydra.run.dir='{tmp_path / 'run'}'"
    nothing = {"CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    ended = run(*base, "model=mf", "model.factors=8", "trainer.compile=true", where, **nothing)
    assert ended.returncode == 1
    assert "error: trainer.compile: torch.compile could not compile this model" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("setting", ["precision=float16", "cuda_graph=maybe", "compile=2"])
def test_a_bad_setting_is_one_line(setting: str, root: Path) -> None:
    ended = run(*small(root), f"trainer.{setting}")
    assert ended.returncode == 2
    assert f"trainer.{setting.partition('=')[0]}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def graphed(trainer: Trainer, capture: Callable[[Callable[[], None]], Callable[[], None]]) -> Trainer:
    """The same run with its steps replayed, on the memory that they were captured on."""
    assert isinstance(trainer._passes, InClosedForm)
    trainer._passes._form.flat.clear_rows = False
    trainer._step = GraphedStep(trainer._train_on, trainer.changed(), capture)
    return trainer


def test_replayed_steps_are_the_steps_and_warming_up_leaves_no_trace(root: Path) -> None:
    replay, plain = graphed(prepared(root), replayed), prepared(root)
    steps = plain.batches.steps  # the short batch included, which no graph takes
    assert same(weights_after(replay, steps), weights_after(plain, steps))
    assert same(replay.state(), plain.state())


def test_a_device_that_takes_no_graph_is_told_of_and_trains_as_it_can(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(step: Callable[[], None]) -> Callable[[], None]:
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    with caplog.at_level(logging.WARNING):
        replay, plain = graphed(prepared(root), refused), prepared(root)
        assert same(weights_after(replay), weights_after(plain))
    assert "no CUDA graph" in caplog.text
    assert "more" not in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graphed_run_is_the_run_and_waits_for_nothing(root: Path) -> None:
    trainers = []
    for graph in ("true", "false"):
        plan = check(compose(*small(root), f"trainer.cuda_graph={graph}", "device=cuda"))
        trainers.append(build_trainer(plan, plan.split(plan.data()), torch.device("cuda")))
    batches = list(trainers[0].batches.epoch(1))
    for trainer in trainers:
        trainer.step(*batches[0])
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in batches[1:]:
                trainer.step(*batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for a, b in zip(*(trainer.model.parameters() for trainer in trainers)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
