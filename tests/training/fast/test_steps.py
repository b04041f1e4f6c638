"""Every fast step is the plain step, to rounding, whatever the model, the loss and the optimizer."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy_models import BY_GRADIENT
from toy_training import adam, batches, model_named, optimizer_named, settings, step_of
from toys import compose, keys_of, loss_named, replayed, run, same, small

from ncf.core.config import component
from ncf.errors import ConfigError, TrainingError
from ncf.losses import LOSSES, Focal, needs
from ncf.runs.job import build_trainer
from ncf.runs.plan import pick_device, plan_run, refuse_without_cuda
from ncf.training.base import Tally
from ncf.training.fast.cuda_graph import GraphedStep
from ncf.training.fast.steps import ClosedFormStep, CompiledStep, FastStep, FusedLossStep, choose
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.step import PlainStep, Step
from ncf.training.trainer import Trainer

IN_CLOSED_FORM = ["gmf", "mlp", "neumf", "neumf_pretrained"]
# Each loss and each model at least once: the compiled step knows neither.
DIAGONAL = [(BY_GRADIENT[place % len(BY_GRADIENT)], loss) for place, loss in enumerate(LOSSES)]
Kind = Callable[..., Step]


def take(step: Step, steps: int = 5) -> list[Tensor]:
    """The summed losses of some steps of the first epoch, then the parameters after them."""
    totals = [step(batch).clone() for _, batch in zip(range(steps), batches(needs=needs(step.loss)).epoch(1))]
    step.flush()
    return [*totals, *(parameter.detach().clone() for parameter in step.parameters)]


def agree(kind: Kind, name: str, loss: str, optimizer: str = "adam", steps: int = 5) -> None:
    """`kind` and the plain step, in double precision, where what is rounding moves no parameter."""

    def made(kind: Kind) -> Step:
        model = model_named(name, std=0.3, dtype=torch.float64)
        return kind(model, loss_named(loss), optimizer_named(optimizer, model))

    fast, plain = made(kind), made(PlainStep)
    torch.testing.assert_close(take(fast, steps), take(plain, steps), rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(fast.tally.loss_sum, plain.tally.loss_sum)
    assert fast.tally.finite_steps == plain.tally.finite_steps == steps


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", IN_CLOSED_FORM)
def test_steps_in_closed_form_are_the_plain_steps(name: str, loss: str) -> None:
    agree(ClosedFormStep, name, loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("name", "optimizer"), [*((name, "adam") for name in BY_GRADIENT), ("gmf", "row_adam"), ("neumf", "row_adam")]
)
def test_steps_from_the_fused_loss_are_the_plain_steps(name: str, optimizer: str, loss: str) -> None:
    agree(FusedLossStep, name, loss, optimizer)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch.compile traces as ever, and runs what it traced without compiling it, which takes ten seconds a step."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("name", "loss"), DIAGONAL)
def test_traced_steps_are_the_plain_steps(name: str, loss: str) -> None:
    agree(partial(CompiledStep, groups=11), name, loss)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loss"), DIAGONAL)
def test_compiled_steps_are_the_plain_steps(name: str, loss: str) -> None:
    """An epoch, the short batch at its end included."""
    torch._dynamo.reset()
    agree(partial(CompiledStep, groups=11), name, loss, steps=37)


@pytest.mark.usefixtures("uncompiled")
def test_a_short_batch_is_not_traced_anew() -> None:
    model = model_named("gmf")
    step = CompiledStep(model, Focal(gamma=2.0, alpha=0.25), adam(model, lr=0.01, weight_decay=0.0), groups=11)
    sizes: list[int] = []
    traced = step._gradients
    step._gradients = lambda weights, fields: sizes.append(len(fields["users"])) or traced(weights, fields)  # type: ignore[func-returns-value]
    stream = list(batches().epoch(1))
    for batch in stream:
        step(batch)
    assert len(stream[-1].users) < 11
    assert sizes == [11] * (len(stream) - 1)


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_as_many_runs_as_one_likes_are_compiled_in_one_process() -> None:
    """torch compiles a function a few times only; uncompiled, torch.func would refuse the fused loss within it."""
    with torch._dynamo.config.patch(recompile_limit=1):
        for gamma in (0.5, 1.0, 2.0):
            model = model_named("gmf", std=0.3)
            take(CompiledStep(model, Focal(gamma=gamma, alpha=0.25), adam(model, lr=0.01, weight_decay=0.0), 11), 2)


def test_a_model_that_torch_cannot_compile_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(function: object, **options: object) -> Callable[..., object]:
        def call(*arguments: object) -> None:
            raise torch._dynamo.exc.TorchDynamoException("no working C++ compiler\nmore of it")

        return call

    monkeypatch.setattr(torch, "compile", refusing)
    model = model_named("gmf")
    step = CompiledStep(model, loss_named("bce"), adam(model, lr=0.01, weight_decay=0.0), groups=11)
    with pytest.raises(
        TrainingError, match=r"^trainer\.compile: .*\(no working C\+\+ compiler\).*trainer\.compile=false"
    ):
        step(next(batches().epoch(1)))


@pytest.mark.slow
def test_compiling_without_a_compiler_is_one_line(root: Path, tmp_path: Path) -> None:
    base = [key for key in small(root) if not key.startswith("model.")]
    where = f"hydra.run.dir='{tmp_path / 'run'}'"
    nothing = {"CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    ended = run(*base, "model=mf", "model.factors=8", "trainer.compile=true", where, **nothing)
    assert ended.returncode == 1
    assert "error: trainer.compile: torch.compile could not compile this model" in ended.stderr
    assert "Traceback" not in ended.stderr


def chosen(name: str, optimizer: str = "adam", **changes: object) -> Step:
    model = model_named(name)
    return choose(model, loss_named("bce"), optimizer_named(optimizer, model), settings(fast=True, **changes), 11)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_the_fastest_step_is_chosen_by_model_optimizer_and_settings(name: str) -> None:
    assert type(chosen(name)) is (ClosedFormStep if name in IN_CLOSED_FORM else FusedLossStep)
    assert type(chosen(name, "row_adam")) is FusedLossStep
    assert type(chosen(name, precision="bfloat16")) is FusedLossStep
    assert type(chosen(name, compile=True)) is CompiledStep
    assert type(chosen(name, compile=True, precision="bfloat16")) is CompiledStep


def test_on_a_cpu_no_step_is_replayed() -> None:
    for graph in ("auto", True):
        step = chosen("gmf", cuda_graph=graph)
        assert isinstance(step, ClosedFormStep)
        assert not step.graphed


class _OnCUDA(Tensor):
    """A tensor that says it is on a CUDA device."""

    is_cuda = property(lambda self: True)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, True),
        ({"clip_norm": 1.0}, False),
        ({"warmup": "5steps"}, False),
        ({"schedule": "cosine", "period": "5epochs"}, False),
    ],
)
def test_no_graph_keeps_a_rate_that_changes(
    keys: dict[str, object], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnCUDA(Tally):
        def __init__(self, device: torch.device) -> None:
            super().__init__(device)
            self.broken = self.broken.as_subclass(_OnCUDA)

    monkeypatch.setattr("ncf.training.base.Tally", OnCUDA)
    model = model_named("gmf")
    optimizer = component("optimizer", OPTIMIZERS, keys_of("optimizer", "adam") | keys)(model)
    assert ClosedFormStep(model, loss_named("bce"), optimizer, graph=True).graphed is expected


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("loss", ["bce", "focal", "focal_clamped", "weighted_bce"])
def test_a_run_in_single_precision_is_the_plain_run(loss: str, decay: float) -> None:
    """With the weights that a run draws, over 20 steps."""

    def made(fast: bool) -> Step:
        model = model_named("neumf")
        return step_of(model, loss_named(loss), adam(model, lr=0.01, weight_decay=decay), fast=fast)

    fast, plain = made(True), made(False)
    assert type(fast) is ClosedFormStep
    torch.testing.assert_close(take(fast, 20), take(plain, 20), rtol=1e-3, atol=1e-4)


def test_moments_and_steps_stand_in_the_checkpoint_as_the_plain_step_leaves_them() -> None:
    states = []
    for kind in (ClosedFormStep, PlainStep):
        model = model_named("neumf", dtype=torch.float64)
        step = kind(model, loss_named("bce"), adam(model, lr=0.01, weight_decay=0.0))
        take(step)
        states.append(step.optimizer.state_dict()["state"])
    assert states[0].keys() == states[1].keys()
    for index, state in states[1].items():
        torch.testing.assert_close(states[0][index], state, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("first", "then"), [(PlainStep, ClosedFormStep), (ClosedFormStep, PlainStep)])
def test_one_step_goes_on_from_the_checkpoint_of_the_other(first: type[Step], then: type[Step]) -> None:
    def made(kind: type[Step]) -> Step:
        model = model_named("neumf", std=0.3, dtype=torch.float64)
        return kind(model, loss_named("bce"), adam(model, lr=0.01, weight_decay=0.0))

    whole, resumed = made(first), made(then)
    take(whole)
    resumed.model.load_state_dict(whole.model.state_dict())
    resumed.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    torch.testing.assert_close(take(resumed), take(whole), rtol=1e-8, atol=1e-9)


def test_bfloat16_is_near_and_not_the_same() -> None:
    weights = []
    for precision in ("bfloat16", "float32"):
        step = step_of(model_named("neumf", std=0.1), loss_named("bce"), fast=True, precision=precision)
        weights.append(take(step, 20)[20:])
    assert not same(*weights)
    assert all((a - b).norm() < 0.1 * b.norm() + 0.01 for a, b in zip(*weights))
    assert {tensor.dtype for tensor in weights[0]} == {torch.float32}


def test_in_bfloat16_the_loss_is_computed_in_single_precision() -> None:
    model = model_named("neumf", std=0.1)
    step = FusedLossStep(model, loss_named("bce"), adam(model, lr=0.01, weight_decay=0.0), half=True)
    logits, total = step.backward(next(batches().epoch(1)))
    assert logits.dtype == total.dtype == torch.float32
    torch.testing.assert_close(total, loss_named("bce")(logits.double()).sum().float())


@pytest.mark.parametrize("kind", [ClosedFormStep, FusedLossStep])
def test_what_a_fast_step_shows_its_observer_is_what_the_plain_one_shows(kind: type[Step]) -> None:
    shown: dict[type[Step], list[Tensor]] = {kind: [], PlainStep: []}
    for each, seen in shown.items():
        model = model_named("neumf", std=0.3, dtype=torch.float64)
        step = each(model, loss_named("focal"), adam(model, lr=0.01, weight_decay=0.0))
        step.observer = lambda batch, logits, seen=seen: seen.append(logits.clone())
        take(step, 3)
    torch.testing.assert_close(shown[kind], shown[PlainStep])


def test_compiling_sparse_gradients_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.compile: expected false with optimizer=row_adam"):
        plan_run(compose(*small(root, "trainer.compile=true", "optimizer=row_adam")))


@pytest.mark.parametrize("setting", ["compile=true", "precision=bfloat16"])
def test_what_only_a_fast_step_does_is_refused_without_one(setting: str) -> None:
    key = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^trainer\.{key}: expected .* with trainer\.fast=false, got"):
        plan_run(compose("trainer.fast=false", f"trainer.{setting}"))


@pytest.mark.parametrize("setting", ["cuda_graph=true", "precision=tf32"])
def test_what_only_cuda_has_is_refused_on_a_cpu(setting: str) -> None:
    plan = plan_run(compose(f"trainer.{setting}", "device=cpu"))
    key = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^trainer\.{key}: expected .*, which needs CUDA$") as caught:
        refuse_without_cuda(plan, pick_device("cpu"))
    assert "\n" not in str(caught.value)


def graphed(capture: Callable[[Callable[[], None]], Callable[[], None]]) -> ClosedFormStep:
    """A step that is replayed, on the memory that it was captured on, as on a GPU."""
    model = model_named("neumf")
    step = ClosedFormStep(model, loss_named("bce"), adam(model, lr=0.01, weight_decay=0.0))
    step._form.flat.clear_rows = False
    step._replay = GraphedStep(partial(FastStep.__call__, step), step.changed(), capture)
    return step


def unreplayed() -> ClosedFormStep:
    model = model_named("neumf")
    return ClosedFormStep(model, loss_named("bce"), adam(model, lr=0.01, weight_decay=0.0))


def test_replayed_steps_are_the_steps_and_warming_up_leaves_no_trace() -> None:
    replay, plain = graphed(replayed), unreplayed()
    assert same(take(replay, 37), take(plain, 37))  # the short batch included, which no graph takes
    assert same(replay.optimizer.state_dict(), plain.optimizer.state_dict())
    assert same(vars(replay.tally), vars(plain.tally))


def test_a_step_that_is_observed_is_not_replayed() -> None:
    replay, plain = graphed(replayed), unreplayed()
    seen: list[Tensor] = []
    replay.observer = lambda batch, logits: seen.append(logits)
    assert same(take(replay, 5), take(plain, 5))
    assert len(seen) == 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graphed_run_is_the_run_and_waits_for_nothing(root: Path) -> None:
    trainers = []
    for graph in ("true", "false"):
        plan = plan_run(compose(*small(root), f"trainer.cuda_graph={graph}", "device=cuda"))
        trainer = build_trainer(plan, plan.split(plan.data()), torch.device("cuda"))
        assert isinstance(trainer, Trainer)
        trainers.append(trainer)
    stream = list(trainers[0].batches.epoch(1))
    for trainer in trainers:
        trainer.step(stream[0])
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in stream[1:]:
                trainer.step(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for a, b in zip(*(trainer.model.parameters() for trainer in trainers)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
