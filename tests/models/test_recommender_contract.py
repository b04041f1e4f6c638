"""What every model must pass, however it is trained."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from toys import pairs, random_split

from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data.split import Split
from ncf.models import MODELS, NonGradientRecommender, build

CONF = Path(__file__).parents[2] / "conf/model"
SMALL = {"factors": 6, "gmf_factors": 6, "mlp_factors": 6, "hidden": [8, 4], "k": 5, "sweeps": 3}
FITTED = [name for name, model in MODELS.items() if issubclass(model, NonGradientRecommender)]


def settings(name: str) -> dict:
    """The keys of conf/model/<name>.yaml, made small."""
    keys = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    return keys | {key: value for key, value in SMALL.items() if key in keys}


def with_ratings(split: Split) -> Split:
    ratings = np.random.default_rng(0).integers(1, 6, len(split.train)).astype(np.float32)
    return replace(split, train=replace(split.train, ratings=ratings))


SPLIT = with_ratings(random_split(12, 15))


def ready(name: str, split: Split = SPLIT, seed: int = 1) -> torch.nn.Module:
    """The model with its weights drawn, and fitted if it is fitted without gradient."""
    make = component("model", MODELS, settings(name))
    model = build(make, split.num_users, split.num_items, generator(seed, "initialisation"))
    if isinstance(model, NonGradientRecommender):
        model.fit(split)
    return model


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_scores_every_item_as_finite_float32(name):
    scores = ready(name).score(torch.arange(12))
    assert scores.shape == (12, 15)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    assert not scores.requires_grad


def test_a_users_scores_do_not_depend_on_the_others_of_the_batch(name):
    model = ready(name)
    together = model.score(torch.arange(12))
    users = torch.tensor([7, 0, 7, 11, 3])
    torch.testing.assert_close(model.score(users), together[users], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.score(users[:1]), together[7:8], rtol=1e-5, atol=1e-6)
    assert model.score(users[:0]).shape == (0, 15)


def test_scoring_changes_nothing(name):
    model = ready(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first = model.score(torch.arange(12)).clone()
    assert torch.equal(model.score(torch.arange(12)), first)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_state_dict_is_the_whole_model(name):
    model = ready(name)
    make = component("model", MODELS, settings(name))
    other = build(make, 12, 15, generator(2, "initialisation"))
    other.restore(model.state_dict()) if isinstance(other, NonGradientRecommender) else other.load_state_dict(model.state_dict())
    assert torch.equal(other.score(torch.arange(12)), model.score(torch.arange(12)))


def test_one_seed_gives_one_model_and_leaves_global_randomness_alone(name, untouched):
    first, second = (ready(name).score(torch.arange(12)) for _ in range(2))
    assert torch.equal(first, second)
    assert untouched()


def test_every_setting_is_in_the_yaml_and_every_yaml_key_is_a_setting(name):
    parameters = inspect.signature(MODELS[name]).parameters.values()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} == settings(name).keys() - {"name"}


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(FITTED)))
def test_forward_agrees_with_score(name):
    model = ready(name)
    users, items = torch.arange(12), torch.arange(15).expand(12, 15)
    torch.testing.assert_close(model(users, items), model.score(users), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FITTED)
def test_fit_sees_training_positives_only(name):
    valid, test = ([(u, (i + 1) % 15) for u, i in enumerate(part.items)] for part in (SPLIT.valid, SPLIT.test))
    other = object.__new__(Split)  # unchecked: its held-out items may lie in train, which must not matter
    other.__dict__.update(vars(SPLIT) | {"valid": pairs(valid), "test": pairs(test)})
    assert torch.equal(ready(name, other).score(torch.arange(12)), ready(name).score(torch.arange(12)))


@pytest.mark.parametrize("name", FITTED)
def test_users_and_items_without_training_positives_are_scored(name):
    kept = (SPLIT.train.users != 4) & (SPLIT.train.items != 9)
    train = replace(
        SPLIT.train,
        users=SPLIT.train.users[kept], items=SPLIT.train.items[kept], ratings=SPLIT.train.ratings[kept],
    )  # fmt: skip
    scores = ready(name, replace(SPLIT, train=train)).score(torch.arange(12))
    assert scores.isfinite().all()
    if name != "als":
        assert (scores[:, 9] <= 1e-6).all()
