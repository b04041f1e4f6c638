"""MF with features: MF itself at weight nought, and gradients that reach the features."""

from typing import Any

import numpy as np
import torch
from toy_models import ITEMS, SPLIT, USERS, WITH_USERS, objective, ready

from ncf.core.rng import generator
from ncf.data.feature_blocks import BlockWeights, vectors
from ncf.data.features import item_columns
from ncf.models import MFFeatures, build
from ncf.models.mf import MF
from ncf.models.new_users import Histories

EVERYONE = torch.arange(USERS)
KEYS: dict[str, Any] = {"factors": 6, "text": 1.0, "categories": 1.0, "numbers": 0.0, "stop_words": []}


def made(**weights: float) -> MFFeatures:
    def make(users: int, items: int) -> MFFeatures:
        return MFFeatures(users, items, **KEYS, **weights)

    model = build(make, USERS, ITEMS, generator(1, "initialisation"))  # type: ignore[arg-type]
    model.use_features(WITH_USERS)
    return model


def steps(model: torch.nn.Module, count: int = 5) -> list[float]:
    """Losses of a few steps of Adam on the same groups."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    users, items = torch.tensor([0, 3, 7]), torch.tensor([[1, 4], [2, 9], [14, 0]])
    losses = []
    for _ in range(count):
        logits = model(users, items)
        loss = torch.nn.functional.softplus(torch.stack([-logits[:, 0], logits[:, 1]])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_without_weights_it_is_mf_step_by_step() -> None:
    own = made(weight=0.0, user_weight=0.0)
    plain = build(lambda u, i: MF(u, i, factors=6), USERS, ITEMS, generator(1, "initialisation"))  # type: ignore[arg-type]
    assert torch.equal(own.score(EVERYONE), plain.score(EVERYONE))
    assert steps(own) == steps(plain)
    assert torch.equal(own.score(EVERYONE), plain.score(EVERYONE))


def test_it_begins_as_mf_and_its_features_learn() -> None:
    model = made(weight=1.0, user_weight=1.0)
    plain = build(lambda u, i: MF(u, i, factors=6), USERS, ITEMS, generator(1, "initialisation"))  # type: ignore[arg-type]
    torch.testing.assert_close(model.score(EVERYONE), plain.score(EVERYONE))
    assert steps(model) != steps(plain)
    assert model.item_side is not None
    assert model.user_side is not None
    assert model.item_side.detach().abs().max() > 0
    assert model.user_side.detach().abs().max() > 0


def test_an_items_vector_has_the_part_of_its_features() -> None:
    model = made(weight=2.0, user_weight=0.0)
    assert model.item_side is not None
    model.item_side.data.normal_(generator=torch.Generator().manual_seed(0))
    features = vectors(item_columns(SPLIT), BlockWeights(1.0, 1.0, 0.0), "toy").toarray()
    expected = model.items.weight.detach().double().numpy() + 2 * features @ model.item_side.detach().double().numpy()
    found = model.item_embeddings()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_weights_are_loaded_into_a_model_that_has_seen_no_features() -> None:
    model = ready("mf_features")
    steps(model)
    other = MFFeatures(USERS, ITEMS, **KEYS, weight=1.0, user_weight=0.0)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.score(EVERYONE), model.score(EVERYONE))


def learned() -> MFFeatures:
    """All its weights drawn, those that begin at zero too."""
    model = made(weight=2.0, user_weight=0.5)
    for n, weights in enumerate(model.parameters()):
        weights.data.normal_(generator=torch.Generator().manual_seed(n))
    return model


def test_the_vectors_have_the_scores_as_inner_products() -> None:
    model = learned()
    torch.testing.assert_close(model.user_vectors() @ model.item_vectors().T, model.score(EVERYONE))


def test_rows_of_new_users_have_no_part_of_others_features() -> None:
    """The features' vectors of users could be anything: a new user's row is fitted without them."""
    scores, history = [], Histories(torch.tensor([1, 4, 9]), torch.tensor([3]))
    for scale in (1.0, 50.0):
        model = learned()
        assert model.user_side is not None
        model.user_side.data.mul_(scale)
        model.objective = objective()
        scores.append(model.fold_in(history))
        assert model.knows_users
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=0)
