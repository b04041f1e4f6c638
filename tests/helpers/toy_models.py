"""Every model, made small and ready to score."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from toys import keys_of, random_split

from ncf.core.config import component
from ncf.core.rng import generator
from ncf.data.feature_files import Column, Rows
from ncf.data.features import Given
from ncf.data.split import Split
from ncf.losses import BCE, AnyLoss, needs, per_example
from ncf.models import (
    MODELS,
    GradientRecommender,
    Hybrid,
    MFFeatures,
    NonGradientRecommender,
    Recommender,
    build,
)  # fmt: skip
from ncf.models.new_users import Objective

BY_GRADIENT = [name for name, model in MODELS.items() if issubclass(model, GradientRecommender)]
WITHOUT_GRADIENT = [name for name, model in MODELS.items() if issubclass(model, NonGradientRecommender)]

_SIZES = {"factors": 6, "gmf_factors": 6, "mlp_factors": 6, "hidden": [8, 4], "k": 5, "sweeps": 3}


def with_ratings(split: Split) -> Split:
    """The split, its training positives rated 1 to 5."""
    ratings = np.random.default_rng(0).integers(1, 6, len(split.train)).astype(np.float32)
    return replace(split, train=replace(split.train, ratings=ratings))


USERS, ITEMS = 12, 15


def with_features(split: Split) -> Split:
    """The split, its items with titles of common words, and genres."""
    words, genres = ("star", "war", "love", "night", "king"), ("Comedy", "Drama", "War")
    titles = [f"{words[i % 5]} {words[i % 3]} {words[(i * 7) % 4]} ({1960 + i})" for i in range(split.num_items)]
    named = [f"{genres[i % 3]}|{genres[(i * 2) % 3]}" for i in range(split.num_items)]
    return replace(split, titles=np.array(titles), genres=np.array(named))


SPLIT = with_features(with_ratings(random_split(USERS, ITEMS)))
TABLE = Rows("users", np.array([str(100 + u) for u in range(12)]), [
    Column("age", "number", np.arange(12.0)), Column("gender", "category", np.array(["F", "M"] * 6)),
])  # fmt: skip
WITH_USERS = replace(SPLIT, user_features=Given(official=lambda: TABLE))


def model_keys(name: str) -> dict[str, Any]:
    """The keys of conf/model/<name>.yaml, made small."""
    keys = keys_of("model", name)
    if name == "hybrid":
        keys["sources"] = [{"model": model_keys(part), "weights_sha256": part} for part in ("ease", "gmf")]
    return keys | {key: value for key, value in _SIZES.items() if key in keys}


def drawn(name: str, users: int = USERS, items: int = ITEMS, seed: int = 1) -> Recommender:
    """The model with its weights drawn."""
    made: Recommender = build(
        component("model", MODELS, model_keys(name)), users, items, generator(seed, "initialisation")
    )
    return made


def ready(name: str, split: Split = SPLIT, seed: int = 1) -> Recommender:
    """The model with its weights drawn, and fitted if it is fitted without gradient."""
    model = drawn(name, split.num_users, split.num_items, seed)
    if isinstance(model, Hybrid):
        model.take([ready(part, split, seed).state_dict() for part in ("ease", "gmf")], 0.4)
        model.parts[1].objective = objective()
    if isinstance(model, MFFeatures):
        model.use_features(split)
    if isinstance(model, NonGradientRecommender):
        model.fit(split)
    if isinstance(model, GradientRecommender):
        model.objective = objective()
    return model


def objective(loss: AnyLoss | None = None) -> Objective:
    """What the rows of new users are fitted to: BCE if no other loss is given, with 4 negatives an item."""
    loss = loss or BCE()
    return Objective(partial(per_example, loss), needs(loss), neg_ratio=4, seed=5)


def dense_positives(split: Split = SPLIT) -> np.ndarray:
    """(U, I) ones at the training positives."""
    matrix = np.zeros((split.num_users, split.num_items))
    matrix[split.train.users, split.train.items] = 1
    return matrix
