"""The fast steps, and the choice between them."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from ncf.data.batch import Batch
from ncf.errors import TrainingError
from ncf.losses import AnyLoss
from ncf.losses.kernel import fused_per_example, losses_and_logit_grad
from ncf.models import GradientRecommender
from ncf.training.base import LazyOptimizer, Step
from ncf.training.fast import closed_form
from ncf.training.fast.adam import FusedAdam
from ncf.training.fast.closed_form import ClosedForm
from ncf.training.fast.cuda_graph import GraphedStep
from ncf.training.settings import TrainerSettings


def choose(
    model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer, settings: TrainerSettings, groups: int
) -> Step:
    """Return the fastest step for this model and optimizer; `groups` is the number of positives in a full batch."""
    half = settings.precision == "bfloat16"
    if settings.compile:
        return CompiledStep(model, loss, optimizer, groups)
    if half or isinstance(optimizer, LazyOptimizer) or not closed_form.supports(model):
        return FusedLossStep(model, loss, optimizer, half)
    return ClosedFormStep(model, loss, optimizer, graph=bool(settings.cuda_graph))


class FastStep(Step):
    """A step in the order of the plain one that never waits for the device, if its optimizer can skip an update.

    Attributes:
        half: whether the forward pass runs under bfloat16 autocast.
    """

    half = False

    def __init__(self, model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(model, loss, optimizer)
        self._update: Callable[[], object] = optimizer.step
        self._skips = isinstance(optimizer, LazyOptimizer) or bool(optimizer.defaults.get("fused"))
        if self._skips:
            optimizer.found_inf = self.tally.broken  # type: ignore[attr-defined]  # it skips its update by itself

    def __call__(self, batch: Batch) -> Tensor:
        """See `Step`."""
        logits, total = self.backward(batch)
        if self.observer:
            self.observer(batch, logits)
        self.update(total)
        return total

    def update(self, total: Tensor) -> None:
        """Update the parameters from their gradients, unless one or the summed loss `total` () is inf or NaN."""
        self.tally.check([total, *self.gradients()])
        self.clip()
        if self._skips or not self.tally.broken:  # reading `broken` waits for the device
            self._update()
        self.tally.add(total)


class FusedLossStep(FastStep):
    """Autograd for any model, starting at the logit gradient that the loss's fused kernel computes.

    Args:
        half: run the forward pass under bfloat16 autocast.
    """

    def __init__(
        self, model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer, half: bool = False
    ) -> None:
        super().__init__(model, loss, optimizer)
        self.half = half

    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Step.backward`."""
        for parameter in self.parameters:
            parameter.grad = None
        with torch.autocast(batch.users.device.type, torch.bfloat16) if self.half else contextlib.nullcontext():
            logits: Tensor = self.model(batch.users, batch.items)
        logits = logits.float() if self.half else logits
        losses, logit_grad = losses_and_logit_grad(self.loss, logits.detach(), batch)
        logits.backward(logit_grad.div_(batch.rows))
        return logits.detach(), losses.sum()


class CompiledStep(FusedLossStep):
    """Loss and gradients of any model with dense gradients, compiled as one function by torch.compile.

    A batch of fewer than `groups` positives, the last of an epoch, is left to autograd: it would be recompiled.
    """

    def __init__(
        self, model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer, groups: int
    ) -> None:
        super().__init__(model, loss, optimizer)
        self._groups = groups

        def _mean_loss(weights: dict[str, Tensor], fields: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            batch = Batch(**fields)
            logits = torch.func.functional_call(model, weights, (batch.users, batch.items))
            total = fused_per_example(loss, logits, batch).sum()
            return total / batch.rows, (logits, total)

        torch._dynamo.reset()  # else torch stops compiling after eight variants, that is, after eight runs in a process
        self._gradients = torch.compile(torch.func.grad_and_value(_mean_loss, has_aux=True), dynamic=False)

    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Step.backward`. Raises TrainingError if torch cannot compile the model."""
        if len(batch.users) != self._groups:
            return super().backward(batch)
        named = dict(self.model.named_parameters())
        weights = {name: parameter.detach() for name, parameter in named.items()}
        from torch._dynamo.exc import TorchDynamoException  # over a second to import

        try:
            gradients, (_, (logits, total)) = self._gradients(weights, batch.tensors())
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise TrainingError(
                f"trainer.compile: torch.compile could not compile this model ({reason}); on a CPU it needs a C++ "
                "compiler. trainer.compile=false trains without it"
            ) from error
        for name, parameter in named.items():
            parameter.grad = gradients[name]
        return logits, total


class ClosedFormStep(FastStep):
    """Closed-form gradients for GMF, MLP and NeuMF, on parameters that lie in one tensor.

    Args:
        graph: replay the step as a CUDA graph if the model is on a CUDA device and the optimizer is a `FusedAdam` that
            takes every step alike (a graph would keep the learning rate that it was captured with).
    """

    def __init__(
        self, model: GradientRecommender, loss: AnyLoss, optimizer: torch.optim.Optimizer, graph: bool = False
    ) -> None:
        super().__init__(model, loss, optimizer)
        form = ClosedForm([model])
        self.lay_out(form.flat.values[0], form.flat.gradients[0])
        self._form = form
        fit = self.tally.broken.is_cuda and isinstance(optimizer, FusedAdam) and not self.regulated
        self.graphed = graph and fit
        self._replay = GraphedStep(super().__call__, self.changed()) if self.graphed else None

    def lay_out(self, values: Tensor, gradients: Tensor) -> None:
        """Register that the parameters are now views of `values` (N,), and their gradients of `gradients` (N,)."""
        self._flat_gradients = gradients
        if isinstance(self.optimizer, FusedAdam):
            self.optimizer.lay_out(values, gradients)
            self._update = self.optimizer.step_laid_out

    def changed(self) -> list[Tensor]:
        """Return the tensors that a step changes."""
        assert isinstance(self.optimizer, FusedAdam)
        tally = self.tally
        return [*self.optimizer.laid_out(), tally.loss_sum, tally.finite_steps, tally.broken]

    def __call__(self, batch: Batch) -> Tensor:
        """See `Step`. With an observer, which skips most steps, nothing is replayed: a graph cannot skip."""
        return super().__call__(batch) if self._replay is None or self.observer else self._replay(batch)

    def backward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `Step.backward`."""
        logits = self._form.forward(batch.users, batch.items)
        losses, logit_grad = losses_and_logit_grad(self.loss, logits, batch)
        self._form.backward(logit_grad.div_(batch.rows))
        return logits, losses.sum()

    def gradients(self) -> list[Tensor]:
        """Return all gradients as the one tensor (N,) they lie in."""
        return [self._flat_gradients]
