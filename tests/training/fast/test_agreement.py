"""A fast step that does not compute what is read is noticed before training, and one that does raises no alarm."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_models import BY_GRADIENT
from toy_training import adam, batches, model_named, optimizer_named, plain_step, step_of
from toys import loss_named, same

from ncf.losses import BCE, LOSSES, AnyLoss, Focal, JointLoss, kernel, needs
from ncf.models.base import GradientRecommender, RatingRecommender
from ncf.models.gmf import GMF, GMFTower
from ncf.models.mlp import MLPTower
from ncf.training.fast.agreement import Outcome, disagreement, outcome
from ncf.training.fast.closed_form import ClosedForm
from ncf.training.fast.steps import ClosedFormStep, FastStep, FusedLossStep
from ncf.training.step import JointStep, PlainStep, Step

FOCAL = Focal(gamma=2.0, alpha=0.25)


def built(
    caplog: pytest.LogCaptureFixture, model: GradientRecommender, loss: AnyLoss, **changes: Any
) -> tuple[Step, str]:
    """The step that a fast run gets, and what was said about it."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        step = step_of(model, loss, fast=True, **changes)
    return step, caplog.text


def after(step: Step, steps: int = 5) -> list[Tensor]:
    """The parameters after some steps."""
    for _, batch in zip(range(steps), batches(needs=needs(step.loss)).epoch(1)):
        step(batch)
    return [parameter.detach().clone() for parameter in step.parameters]


def edited_forward(self: GMF, users: Tensor, items: Tensor) -> Tensor:
    """GMF without its output bias."""
    return self.tower(users, items) @ self.output.weight[0]


def edited_loss(self: Focal, logits: Tensor) -> Tensor:
    """Focal loss whose positives count a tenth more."""
    losses = BCE()(logits) * torch.sigmoid(torch.cat([-logits[:, :1], logits[:, 1:]], dim=1)) ** self.gamma
    return losses * torch.tensor([0.25 * 1.1] + [0.75] * (logits.shape[1] - 1))


def alive(name: str) -> GradientRecommender:
    """A model whose every parameter has a gradient on the sample."""
    model = model_named(name, seed=5, std=0.4)
    assert all(g.any() for g in outcome(plain_step(model, FOCAL), batches().sample()).gradients.values())
    return model


EDITS: dict[str, tuple[type, str, Callable[..., object], str]] = {
    "forward of the model": (GMF, "forward", edited_forward, "its logits differ from the model's forward"),
    "formula of the loss": (Focal, "__call__", edited_loss, "its loss differs from the loss's formula"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_edited_is_what_trains_and_the_user_is_told(
    edit: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, function, complaint = EDITS[edit]
    unedited = after(plain_step(model_named("gmf", std=0.3), FOCAL))
    monkeypatch.setattr(owner, name, function)
    step, said = built(caplog, model_named("gmf", std=0.3), FOCAL)
    assert type(step) is PlainStep
    assert f"ClosedFormStep: {complaint}" in said
    assert said.rstrip().endswith("using the plain step instead")
    trained = after(step)
    torch.testing.assert_close(trained, after(plain_step(model_named("gmf", std=0.3), FOCAL)))
    assert not all(torch.allclose(a, b, atol=1e-5) for a, b in zip(trained, unedited))


@pytest.mark.parametrize(
    ("tower", "model"), [(GMFTower, "gmf"), (GMFTower, "neumf"), (MLPTower, "mlp"), (MLPTower, "neumf")]
)
def test_an_edited_tower_is_noticed_in_every_model_that_has_it(
    tower: type, model: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tower.forward  # type: ignore[attr-defined]
    monkeypatch.setattr(tower, "forward", lambda self, users, items: 1.2 * original(self, users, items))
    step, said = built(caplog, alive(model), FOCAL)
    assert type(step) is PlainStep
    assert "its logits differ from the model's forward" in said


def test_an_edit_that_only_the_gradient_shows_is_noticed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A formula that stops the gradient of what it focuses on: the same loss, another derivative."""

    def stopped(self: Focal, logits: Tensor) -> Tensor:
        z = torch.cat([logits[:, :1], -logits[:, 1:]], dim=1)
        weights = torch.tensor([0.25] + [0.75] * (logits.shape[1] - 1))
        return -weights * torch.sigmoid(-z).detach() ** self.gamma * torch.nn.functional.logsigmoid(z)

    monkeypatch.setattr(Focal, "__call__", stopped)
    step, said = built(caplog, model_named("gmf", std=0.3), FOCAL)
    assert type(step) is PlainStep
    assert "ClosedFormStep: its gradient of " in said
    assert "differs from autograd's" in said


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])
def test_a_wrong_gradient_in_closed_form_is_noticed_whichever_parameter_it_is_of(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the weights that a run draws, where most gradients are small."""
    original = ClosedForm.backward
    for spoilt, _ in model_named(name).named_parameters():

        def wrong(self: ClosedForm, logit_grad: Tensor, spoilt: str = spoilt) -> None:
            original(self, logit_grad)
            self.flat.parameter(spoilt)[1].mul_(1.05)

        monkeypatch.setattr(ClosedForm, "backward", wrong)
        step, said = built(caplog, alive(name), FOCAL)
        assert type(step) is PlainStep, spoilt
        assert f"its gradient of {spoilt} differs from autograd's" in said
        step, _ = built(caplog, model_named(name), FOCAL)
        assert type(step) is PlainStep, spoilt


@pytest.mark.parametrize("model", ["gmf", "mf"])
def test_a_wrong_gradient_of_the_kernel_is_noticed(
    model: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = kernel.focal_kernel

    def wrong(logits: Tensor, *weights: Any) -> tuple[Tensor, Tensor]:
        losses, logit_grad = original(logits, *weights)
        return losses, logit_grad * 1.01

    monkeypatch.setattr(kernel, "focal_kernel", wrong)
    step, said = built(caplog, model_named(model, std=0.3), FOCAL)
    assert type(step) is PlainStep
    assert "differs from autograd's" in said


def test_a_model_of_ones_own_is_trained_by_its_forward_without_alarm(caplog: pytest.LogCaptureFixture) -> None:
    class Unbiased(GMF):
        forward = edited_forward

    own = Unbiased(20, 40, factors=6)
    own.load_state_dict(model_named("gmf", std=0.3).state_dict())
    step, said = built(caplog, own, FOCAL)
    assert type(step) is FusedLossStep
    assert not said
    batch = next(batches().epoch(1))
    logits, _ = step.backward(batch)
    torch.testing.assert_close(logits, edited_forward(own, batch.users, batch.items).detach())


def test_a_loss_of_ones_own_is_trained_by_its_formula_without_alarm(caplog: pytest.LogCaptureFixture) -> None:
    def hinge(logits: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(logits[:, :1]), (1 - logits[:, :1] + logits[:, 1:]).relu()], dim=1)

    step, said = built(caplog, model_named("gmf", std=0.3), hinge)
    assert type(step) is ClosedFormStep
    assert not said
    torch.testing.assert_close(after(step), after(plain_step(model_named("gmf", std=0.3), hinge)))


def test_a_subclass_of_the_focal_family_with_a_formula_of_its_own_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """It inherits the weights, by which the kernel would compute its parent."""

    class Sharper(Focal):
        def __call__(self, logits: Tensor) -> Tensor:
            return super().__call__(1.5 * logits)

    step, said = built(caplog, model_named("gmf", std=0.3), Sharper(gamma=2.0, alpha=0.25))
    assert type(step) is PlainStep
    assert "its loss differs from the loss's formula" in said


def test_after_an_alarm_what_is_not_finite_is_not_applied_either(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer reads the tally of the step that trains, not of one that was made for the check."""
    monkeypatch.setattr(GMF, "forward", edited_forward)
    step, _ = built(caplog, model_named("gmf", std=0.3), FOCAL)
    before = [parameter.detach().clone() for parameter in step.parameters]
    step.loss = lambda logits: FOCAL(logits) * float("nan")
    assert same(after(step, 2), before)
    assert step.tally.broken == 1


def test_after_an_alarm_a_run_goes_on_from_its_checkpoint_as_any_plain_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parameters lie in one tensor by then, and the optimizer's moments too."""
    monkeypatch.setattr(GMF, "forward", edited_forward)
    whole, _ = built(caplog, model_named("gmf", std=0.3), FOCAL)
    after(whole)
    saved = [{k: v.clone() for k, v in whole.model.state_dict().items()}, _copied(whole.optimizer.state_dict())]
    resumed, _ = built(caplog, model_named("gmf", seed=7), FOCAL)
    resumed.model.load_state_dict(saved[0])
    resumed.optimizer.load_state_dict(saved[1])
    assert same(after(resumed), after(whole))


def _copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    return state.clone() if isinstance(state, Tensor) else state


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", BY_GRADIENT)
def test_no_alarm_is_false(name: str, loss: str, caplog: pytest.LogCaptureFixture) -> None:
    """From the weights that runs draw, and from larger ones, where logits are far from 0."""
    starts = [(1, None), (2, None), (3, 0.1), (4, 1.0)]
    cases = [("adam", "float32", *start) for start in starts]
    cases += [("adam", "bfloat16", 1, None), ("adam", "bfloat16", 4, 1.0), ("row_adam", "float32", 2, None)]
    for optimizer, precision, seed, std in cases:
        model = model_named(name, seed, std)
        chosen = optimizer_named(optimizer, model)
        with caplog.at_level(logging.WARNING):
            step = step_of(model, loss_named(loss), chosen, fast=True, precision=precision)
        if isinstance(model, RatingRecommender) and isinstance(step.loss, JointLoss):
            assert type(step) is JointStep  # without a look at a faster one
            continue
        assert type(step) is not PlainStep, caplog.text
        assert isinstance(step, FastStep)
        assert step.half == (precision == "bfloat16")
    assert not caplog.records


def test_in_bfloat16_an_edit_is_noticed_as_in_single_precision(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Focal, "__call__", edited_loss)
    with caplog.at_level(logging.WARNING):
        step = step_of(model_named("gmf", std=0.3), FOCAL, fast=True, precision="bfloat16")
    assert type(step) is PlainStep
    assert "FusedLossStep: its loss differs from the loss's formula" in caplog.text


def test_where_terms_cancel_rounding_raises_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    """Under BPR the gradient by a user's bias is a sum of terms that cancel: nothing but rounding is left."""
    for seed in range(20):
        model = model_named("mf", seed, std=1.0)
        step, said = built(caplog, model, loss_named("bpr"))
        assert type(step) is FusedLossStep, said
    sample = batches().sample()
    gradients = outcome(plain_step(model_named("mf", std=1.0), loss_named("bpr")), sample).gradients
    assert gradients["user_bias.weight"].norm() < 1e-5 * gradients["items.weight"].norm()


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_start_without_any_gradient_raises_no_alarm(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The clamped loss has none where all logits lie below 0: its dead starts."""
    model = model_named(name, std=0.1)
    biases = {"multitask": lambda: model.item_bias.weight}
    biases |= dict.fromkeys(("mf", "mf_features"), lambda: model.bias.weight)
    bias = biases.get(name, lambda: model.output.bias)()
    with torch.no_grad():
        bias.fill_(-5.0)
    sample = batches().sample()
    loss = loss_named("focal_clamped")
    assert not any(g.any() for g in outcome(plain_step(model, loss), sample).gradients.values())
    step, said = built(caplog, model, loss)
    assert type(step) is not PlainStep
    assert not said


def example() -> Outcome:
    gradients = {"large": torch.tensor([3.0, 4.0]), "small": torch.tensor([1e-3, -1e-3])}
    return Outcome(torch.tensor([[1.0, -2.0]]), torch.tensor(3.0), gradients, terms=5.0)


def test_what_is_equal_does_not_disagree() -> None:
    assert disagreement(example(), example()) is None


@pytest.mark.parametrize(("part", "differs"), [(0.9e-3, False), (1.1e-3, True)])
def test_a_difference_counts_from_a_thousandth_on(part: float, differs: bool) -> None:
    changes = [
        replace(example(), logits=example().logits * (1 + part)),
        replace(example(), loss=example().loss * (1 + part)),
        replace(example(), gradients=example().gradients | {"large": example().gradients["large"] * (1 + part)}),
    ]
    for found in changes:
        assert (disagreement(found, example()) is not None) == differs


def test_the_first_difference_is_named() -> None:
    other = Outcome(2 * example().logits, 2 * example().loss, {}, terms=5.0)
    assert disagreement(other, example()) == "its logits differ from the model's forward"
    other = replace(other, logits=example().logits)
    assert disagreement(other, example()) == "its loss differs from the loss's formula"
    other = replace(other, loss=example().loss)
    assert disagreement(other, example()) == "its gradient of large differs from autograd's"


@pytest.mark.parametrize(("error", "differs"), [(9e-6, False), (2e-5, True)])
def test_a_gradient_may_differ_by_the_rounding_of_its_terms_and_no_more(error: float, differs: bool) -> None:
    """A millionth of the terms, 5, and of the largest gradient, 5."""
    gradients = example().gradients | {"small": torch.tensor([1e-3 + error, -1e-3])}
    found = disagreement(replace(example(), gradients=gradients), example())
    assert (found == "its gradient of small differs from autograd's") == differs


def test_what_is_not_finite_is_left_to_training_to_refuse() -> None:
    broken = replace(example(), loss=torch.tensor(float("nan")))
    assert disagreement(broken, broken) is None
    assert disagreement(broken, example()) == disagreement(example(), broken)
    assert disagreement(broken, example()) == "its loss differs from the loss's formula"


def test_an_outcome_is_that_of_the_batch_and_does_not_change_with_the_next() -> None:
    step = ClosedFormStep(model := model_named("gmf", std=0.3), FOCAL, adam(model, lr=0.01, weight_decay=0.0))
    first, *_, last = batches().epoch(1)
    found = outcome(step, first)
    kept = [found.logits.clone(), found.loss.clone(), {name: g.clone() for name, g in found.gradients.items()}]
    outcome(step, last)
    assert same([found.logits, found.loss, found.gradients], kept)
    assert set(found.gradients) == {name for name, _ in model.named_parameters()}


def test_a_sparse_gradient_is_compared_by_its_rows(caplog: pytest.LogCaptureFixture) -> None:
    model = model_named("gmf", std=0.3)
    step = plain_step(model, FOCAL, optimizer_named("row_adam", model))
    sample = batches().sample()
    found = outcome(step, sample)
    assert found.gradients["tower.users.weight"].shape == (len(sample.users.unique()), 6)
    assert found.gradients["output.weight"].shape == (1, 6)
