"""GMF is the weighted inner product of He et al. 2017, eq. 9."""

import torch

from ncf.models import GMF
from ncf.models.gmf import GMFTower


def test_the_logit_is_the_weighted_sum_of_products() -> None:
    model = GMF(4, 5, factors=3)
    users, items = torch.arange(4), torch.randint(5, (4, 6), generator=torch.Generator().manual_seed(0))
    logits = model(users, items)
    weight, bias = model.output.weight[0], model.output.bias[0]
    for row in range(4):
        for column in range(6):
            product = model.tower.users.weight[row] * model.tower.items.weight[items[row, column]]
            torch.testing.assert_close(logits[row, column], (weight * product).sum() + bias)


def test_its_weights_are_two_tables_and_an_output() -> None:
    assert {name: tuple(w.shape) for name, w in GMF(4, 5, factors=3).state_dict().items()} == {
        "tower.users.weight": (4, 3), "tower.items.weight": (5, 3), "output.weight": (1, 3), "output.bias": (1,),
    }  # fmt: skip


def test_vectors_fold_output_weights_and_bias_in() -> None:
    model = GMF(4, 5, factors=3)
    users, items = model.user_vectors(), model.item_vectors()
    torch.testing.assert_close(users[:, :3], model.tower.users.weight * model.output.weight[0])
    assert (users[:, 3] == 1).all()
    assert torch.equal(items[:, :3], model.tower.items.weight)
    assert (items[:, 3] == model.output.bias).all()


def test_a_tower_scores_with_the_rest_of_the_logits_added() -> None:
    tower = GMFTower(4, 5, 3)
    users, weight, rest = torch.tensor([2, 0]), torch.tensor([1.0, -2.0, 0.5]), torch.arange(10.0).view(2, 5)
    expected = rest + (tower(users, torch.arange(5).expand(2, 5)) * weight).sum(-1)
    torch.testing.assert_close(tower.score(users, weight, rest), expected)
    assert tower.features == 3
