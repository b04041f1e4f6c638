"""What every model must pass, however it is trained."""

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_models import BY_GRADIENT, ITEMS, SPLIT, USERS, WITHOUT_GRADIENT, drawn, model_keys, ready
from toys import pairs

from ncf.data.split import Split
from ncf.errors import DataError
from ncf.models import MODELS, GradientRecommender, NonGradientRecommender, Recommender
from ncf.models.base import with_columns
from ncf.models.new_users import Histories
from ncf.models.non_gradient import positives_matrix

EVERYONE = torch.arange(USERS)
INNER_PRODUCTS = {"gmf", "mf", "mf_features", "multitask", "puresvd", "als", "ials", "content"}
EMBEDDED = INNER_PRODUCTS | {"mlp", "neumf", "neumf_pretrained"}
BY_CONTENT = {"content", "content_knn", "cease"}


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Each model in turn."""
    return str(request.param)


def test_scores_every_item_as_finite_float32(name: str) -> None:
    scores = ready(name).score(EVERYONE)
    assert scores.shape == (USERS, ITEMS)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert not scores.requires_grad


def test_a_users_scores_do_not_depend_on_the_others_of_the_batch(name: str) -> None:
    model = ready(name)
    together = model.score(EVERYONE)
    users = torch.tensor([7, 0, 7, 11, 3])
    torch.testing.assert_close(model.score(users), together[users], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.score(users[:1]), together[7:8], rtol=1e-5, atol=1e-6)
    assert model.score(users[:0]).shape == (0, ITEMS)


def test_scoring_changes_nothing(name: str) -> None:
    model = ready(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = model.score(EVERYONE).clone()
    assert torch.equal(model.score(EVERYONE), first)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_state_dict_is_the_whole_model(name: str) -> None:
    model = ready(name)
    other = drawn(name, seed=2)
    take_over = other.restore if isinstance(other, NonGradientRecommender) else other.load_state_dict
    take_over(model.state_dict())
    assert torch.equal(other.score(EVERYONE), model.score(EVERYONE))


def test_one_seed_gives_one_model_and_leaves_global_randomness_alone(name: str, untouched: Callable[[], bool]) -> None:
    first, second = (ready(name).score(EVERYONE) for _ in range(2))
    assert torch.equal(first, second)
    assert untouched()


def test_every_setting_is_in_the_yaml_and_every_yaml_key_is_a_setting(name: str) -> None:
    parameters = inspect.signature(MODELS[name]).parameters.values()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} == model_keys(name).keys() - {"name"}


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_forward_agrees_with_score(name: str) -> None:
    model = ready(name)
    users, items = EVERYONE, torch.arange(ITEMS).expand(USERS, ITEMS)
    torch.testing.assert_close(model(users, items), model.score(users), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_fit_sees_training_positives_only(name: str) -> None:
    valid, test = ([(u, (i + 1) % 15) for u, i in enumerate(part.items)] for part in (SPLIT.valid, SPLIT.test))
    other = object.__new__(Split)  # unchecked: its held-out items may lie in train, which must not matter
    other.__dict__.update(vars(SPLIT) | {"valid": pairs(valid), "test": pairs(test)})
    assert torch.equal(ready(name, other).score(EVERYONE), ready(name).score(EVERYONE))


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_users_and_items_without_training_positives_are_scored(name: str) -> None:
    kept = (SPLIT.train.users != 4) & (SPLIT.train.items != 9)
    assert SPLIT.train.ratings is not None
    train = replace(
        SPLIT.train,
        users=SPLIT.train.users[kept], items=SPLIT.train.items[kept], ratings=SPLIT.train.ratings[kept],
    )  # fmt: skip
    scores = ready(name, replace(SPLIT, train=train)).score(EVERYONE)
    assert scores.isfinite().all()
    if name not in ("als", "hybrid", *BY_CONTENT):
        assert (scores[:, 9] <= 1e-6).all()


# Users of one, no, three and all items.
LISTS = Histories(torch.tensor([4, 1, 4, 13, *range(ITEMS)]), torch.tensor([1, 0, 3, ITEMS]), torch.ones(4 + ITEMS))


def test_new_users_get_scores_of_their_own_and_the_model_stays_as_it_is(
    name: str, untouched: Callable[[], bool]
) -> None:
    model = ready(name)
    before, known = {key: value.clone() for key, value in model.state_dict().items()}, model.score(EVERYONE)
    scores = model.fold_in(LISTS)
    assert scores.shape == (4, ITEMS)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert not scores.requires_grad
    assert name == "popularity" or not torch.equal(scores[0], scores[2])
    assert torch.equal(model.fold_in(LISTS), scores)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(model.score(EVERYONE), known)
    assert untouched()


def test_a_new_users_scores_do_not_depend_on_the_other_new_users(name: str) -> None:
    model = ready(name)
    alone = [model.fold_in(part) for part in LISTS.parts(1)]
    torch.testing.assert_close(model.fold_in(LISTS), torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert model.fold_in(Histories(LISTS.items[:0], LISTS.counts[:0], torch.ones(0))).shape == (0, ITEMS)


@pytest.mark.parametrize("name", ["ease", "item_knn", "puresvd", "popularity", "content", "content_knn", "cease"])
def test_the_training_items_of_a_user_folded_in_give_the_users_scores_to_the_bit(name: str) -> None:
    model = ready(name)
    matrix = positives_matrix(SPLIT.train, USERS, ITEMS)
    own = Histories(torch.from_numpy(matrix.indices).long(), torch.from_numpy(np.diff(matrix.indptr)).long())
    assert torch.equal(model.fold_in(own), model.score(EVERYONE))


def test_a_model_that_cannot_fold_in_is_named() -> None:
    class Constant(Recommender):
        def score(self, users: Tensor) -> Tensor:
            return torch.zeros(len(users), ITEMS)

    class Own(GradientRecommender):
        def score(self, users: Tensor) -> Tensor:
            return torch.zeros(len(users), ITEMS)

        def forward(self, users: Tensor, items: Tensor) -> Tensor:
            return torch.zeros(items.shape)

    for model in (Constant(), Own()):
        with pytest.raises(DataError, match=rf"^fold_in: model {type(model).__name__} cannot score users who were not"):
            model.fold_in(LISTS)
    with pytest.raises(DataError, match=r"^fold_in: expected GMF\.objective to be set, found None$"):
        drawn("gmf").fold_in(LISTS)


def given_weights(name: str) -> Recommender:
    """The model ready to score, every weight of one trained by gradient large enough to matter."""
    model = ready(name)
    if isinstance(model, GradientRecommender):
        stream = torch.Generator().manual_seed(3)
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.5, generator=stream)
    return model


def test_the_inner_product_of_the_vectors_is_the_score(name: str) -> None:
    model = given_weights(name)
    users, items = model.user_vectors(), model.item_vectors()
    assert (users is None) == (items is None) == (name not in INNER_PRODUCTS)
    if users is not None and items is not None:
        assert (len(users), len(items)) == (USERS, ITEMS)
        assert not users.requires_grad
        assert not items.requires_grad
        torch.testing.assert_close(users @ items.T, model.score(EVERYONE), rtol=1e-5, atol=1e-5)


def test_item_embeddings_have_a_row_an_item_and_no_graph(name: str) -> None:
    embeddings = given_weights(name).item_embeddings()
    assert (embeddings is not None) == (name in EMBEDDED)
    if embeddings is not None:
        assert len(embeddings) == ITEMS
        assert embeddings.ndim == 2
        assert embeddings.isfinite().all()
        assert not embeddings.requires_grad


@pytest.mark.parametrize("name", sorted(EMBEDDED - BY_CONTENT))
def test_an_items_embedding_moves_with_its_own_weights_alone(name: str) -> None:
    model = given_weights(name)
    before = model.item_embeddings()
    assert before is not None
    before = before.clone()
    with torch.no_grad():
        for key, table in model.state_dict().items():
            if key.endswith(("items.weight", "item_factors")):
                table[4] += 1
    after = model.item_embeddings()
    assert after is not None
    assert (after != before).any(1).nonzero().flatten().tolist() == [4]


def test_columns_are_appended_without_a_graph() -> None:
    factors, bias = torch.ones(3, 2, requires_grad=True), torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    found = with_columns(factors, bias, 0.5)
    assert found.tolist() == [[1, 1, 1, 0.5], [1, 1, 2, 0.5], [1, 1, 3, 0.5]]
    assert not found.requires_grad


def test_a_recommender_that_only_scores_has_no_vectors_and_one_that_does_not_score_cannot_be_made() -> None:
    class Constant(Recommender):
        def score(self, users: Tensor) -> Tensor:
            return torch.zeros(len(users), ITEMS)

    assert Constant().user_vectors() is Constant().item_vectors() is Constant().item_embeddings() is None
    for kind in (Recommender, GradientRecommender, NonGradientRecommender):
        with pytest.raises(TypeError, match="abstract"):
            kind()  # type: ignore[abstract]


def test_a_model_is_trained_by_gradient_or_fitted_without() -> None:
    assert set(BY_GRADIENT) == {"gmf", "mlp", "neumf", "neumf_pretrained", "mf", "mf_features", "multitask"}
    assert set(BY_GRADIENT) | set(WITHOUT_GRADIENT) == set(MODELS)
