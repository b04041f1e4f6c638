"""MF is the inner product and three biases of Koren et al. 2009, eq. 4."""

import torch

from ncf.losses import BPR
from ncf.models.mf import MF


def made() -> MF:
    model = MF(4, 5, factors=3)
    for seed, parameter in enumerate(model.parameters()):
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))
    return model


def test_the_logit_is_the_inner_product_and_the_biases() -> None:
    model = made()
    users, items = torch.tensor([3, 0]), torch.tensor([[1, 4, 4], [0, 2, 3]])
    logits = model(users, items)
    for row, column in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        user, item = users[row], items[row, column]
        expected = (model.users.weight[user] * model.items.weight[item]).sum()
        expected = (
            expected + model.user_bias.weight[user, 0] + model.item_bias.weight[item, 0] + model.bias.weight[0, 0]
        )
        torch.testing.assert_close(logits[row, column], expected)


def test_its_weights_are_two_tables_and_three_biases() -> None:
    assert {name: tuple(w.shape) for name, w in made().state_dict().items()} == {
        "users.weight": (4, 3), "user_bias.weight": (4, 1), "items.weight": (5, 3), "item_bias.weight": (5, 1),
        "bias.weight": (1, 1),
    }  # fmt: skip


def test_vectors_fold_the_biases_in() -> None:
    model = made()
    users, items = model.user_vectors(), model.item_vectors()
    torch.testing.assert_close(users[:, 3], (model.user_bias.weight + model.bias.weight)[:, 0])
    assert (users[:, 4] == 1).all()
    assert (items[:, 3] == 1).all()
    assert torch.equal(items[:, 4], model.item_bias.weight[:, 0])


def test_under_bpr_biases_of_users_and_of_all_have_no_gradient_but_rounding() -> None:
    model = made()
    BPR()(model(torch.tensor([3, 0]), torch.tensor([[1, 4, 4], [0, 2, 3]]))).sum().backward()
    sizes = {name: float(p.grad.abs().max()) for name, p in model.named_parameters() if p.grad is not None}
    assert sizes["user_bias.weight"] < 1e-6
    assert sizes["bias.weight"] < 1e-6
    assert sizes["item_bias.weight"] > 0.1
