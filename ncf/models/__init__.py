"""The models by name. A model maps users (B,) and items (B, 1+K) to logits (B, 1+K), and scores all items (B, I)."""

from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ncf.core.registry import Registry
from ncf.models.als import ALS, IALS
from ncf.models.base import GradientRecommender, RatingRecommender, Recommender
from ncf.models.cease import CEASE
from ncf.models.content import Content, ContentKNN
from ncf.models.dropout import Dropout
from ncf.models.ease import EASE
from ncf.models.gmf import GMF
from ncf.models.hybrid import Hybrid
from ncf.models.knn import ItemKNN, UserKNN
from ncf.models.mf import MF
from ncf.models.mf_features import MFFeatures
from ncf.models.mlp import MLP
from ncf.models.multitask import MultiTask
from ncf.models.neumf import NeuMF
from ncf.models.non_gradient import NonGradientRecommender
from ncf.models.popularity import Popularity
from ncf.models.pretrained import PretrainedNeuMF
from ncf.models.puresvd import PureSVD

__all__ = [
    "EMBEDDING_STD",
    "MODELS",
    "Dropout",
    "GradientRecommender",
    "Hybrid",
    "MFFeatures",
    "NonGradientRecommender",
    "PretrainedNeuMF",
    "RatingRecommender",
    "Recommender",
    "build",
    "draw",
    "undrawn",
]

MODELS = Registry(
    "model",
    {
        "gmf": GMF,
        "mlp": MLP,
        "neumf": NeuMF,
        "neumf_pretrained": PretrainedNeuMF,
        "mf": MF,
        "multitask": MultiTask,
        "popularity": Popularity,
        "user_knn": UserKNN,
        "item_knn": ItemKNN,
        "puresvd": PureSVD,
        "als": ALS,
        "ials": IALS,
        "ease": EASE,
        "content": Content,
        "content_knn": ContentKNN,
        "hybrid": Hybrid,
        "cease": CEASE,
        "mf_features": MFFeatures,
    },
)

M = TypeVar("M", bound=nn.Module)

EMBEDDING_STD = 0.01


class _Undrawn(TorchFunctionMode):
    """Skips the draws of modules' constructors, for which the meta device would import torch's compiler, a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def undrawn(make: partial[M], num_users: int, num_items: int) -> M:
    """Return `make(num_users, num_items)` on the meta device: it has shapes, but takes no memory."""
    with torch.device("meta"), _Undrawn():  # allocates and draws nothing: the global generator is not used
        return make(num_users, num_items)


def build(make: partial[M], num_users: int, num_items: int, stream: torch.Generator) -> M:
    """Return `make(num_users, num_items)` on the CPU, with all weights drawn from `stream`.

    Embeddings are N(0, 0.01); linear layers are uniform within 1 / sqrt(fan-in), as by default in PyTorch.
    """
    model = undrawn(make, num_users, num_items)
    model._apply(lambda meta: torch.empty(meta.shape, dtype=meta.dtype))  # to_empty imports sympy, half a second
    for module in model.modules():
        draw(module, stream)
    return model


def draw(module: nn.Module, stream: torch.Generator) -> None:
    """Draw the initial weights of one module from `stream`; of other kinds than the two above, do nothing."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=EMBEDDING_STD, generator=stream)
    elif isinstance(module, nn.Linear):
        bound = module.in_features**-0.5
        nn.init.uniform_(module.weight, -bound, bound, generator=stream)
        nn.init.uniform_(module.bias, -bound, bound, generator=stream)
