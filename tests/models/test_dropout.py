"""Dropout is drawn from the stream it is given, and without one changes nothing."""

import pytest
import torch
from toy_models import drawn
from toys import same

from ncf.core.rng import generator
from ncf.models import Dropout
from ncf.models.mlp import MLP
from ncf.models.neumf import NeuMF

WIDE = torch.ones(400, 250)


def dropping(p: float, epoch: int = 1, step: int = 0) -> Dropout:
    subject = Dropout(p)
    subject.stream = generator(42, "dropout", epoch, step)
    return subject


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_it_zeroes_a_share_of_p_and_keeps_the_mean(p: float) -> None:
    values = dropping(p)(WIDE)
    assert values.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
    assert float((values == 0).double().mean()) == pytest.approx(p, abs=0.01)
    assert float(values.double().mean()) == pytest.approx(1.0, abs=0.05)


def test_the_gradient_is_masked_likewise() -> None:
    values = WIDE.clone().requires_grad_()
    dropped = dropping(0.5)(values)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())


def test_a_mask_is_that_of_its_address() -> None:
    assert torch.equal(dropping(0.5)(WIDE), dropping(0.5)(WIDE))
    assert not torch.equal(dropping(0.5)(WIDE), dropping(0.5, step=1)(WIDE))
    assert not torch.equal(dropping(0.5)(WIDE), dropping(0.5, epoch=2)(WIDE))


def test_without_a_stream_or_probability_or_in_eval_mode_values_pass() -> None:
    assert Dropout(0.5)(WIDE) is WIDE
    assert dropping(0.0)(WIDE) is WIDE
    assert dropping(0.5).eval()(WIDE) is WIDE
    assert "p=0.5" in repr(Dropout(0.5))


@pytest.mark.parametrize(
    "make", [lambda p: MLP(4, 5, factors=3, hidden=[8, 6], dropout=p),
             lambda p: NeuMF(4, 5, gmf_factors=3, mlp_factors=2, hidden=[8, 6], dropout=p)]
)  # fmt: skip
def test_models_drop_in_forward_alone(make) -> None:
    model, plain = make(0.5), make(0.0)
    model.load_state_dict(plain.state_dict())  # the names and shapes are the same
    users, items = torch.arange(4), torch.arange(5).expand(4, -1)
    torch.testing.assert_close(model(users, items), plain(users, items))
    for part in model.modules():
        if isinstance(part, Dropout):
            part.stream = generator(1, "dropout")
    assert not torch.allclose(model(users, items), plain(users, items))
    assert torch.equal(model.score(users), plain.score(users))


def test_a_models_weights_are_drawn_as_without_dropout() -> None:
    assert same(drawn("mlp").state_dict(), drawn("mlp").state_dict())
    assert "dropout" not in " ".join(drawn("neumf").state_dict())
