"""What RecBole is given as the published loss is `loss=focal_clamped`."""

import pytest
import torch

from experiments.recbole.published import published_focal
from ncf.core.rng import generator
from ncf.losses import FocalClamped


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_loss_in_recbole_is_focal_clamped(gamma: float) -> None:
    logits = torch.randn(50, 5, generator=generator(0, "synthetic")).requires_grad_()
    labels = torch.zeros(50, 5)
    labels[:, 0] = 1
    theirs = published_focal(logits.flatten(), labels.flatten(), gamma, 0.25)
    ours = FocalClamped(gamma=gamma, alpha=0.25)(logits).mean()
    torch.testing.assert_close(theirs, ours)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (theirs, ours)))
