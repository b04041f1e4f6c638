"""Models around tensors that lie elsewhere, such as in a mapped file, and around the rows of some users alone."""

from collections.abc import Iterator, Mapping
from functools import partial

from torch import Tensor

from ncf import models
from ncf.core.config import component
from ncf.errors import DataError
from ncf.runs.identity import completed
from ncf.runs.loaded_run import LoadedRun

_AT_ONCE = 2**14  # users whose vectors are made at once

Make = partial[models.Recommender]


def around(make: Make, num_users: int, num_items: int, state: Mapping[str, Tensor]) -> models.Recommender | None:
    """Return a model whose weights are the tensors (...) of `state` themselves; None if it needs weights of its own.

    Raises:
        RuntimeError: `state` lacks a weight, or one has another shape.
    """
    model = models.undrawn(make, num_users, num_items)
    if isinstance(model, models.NonGradientRecommender):
        if type(model).restore is not models.NonGradientRecommender.restore:
            return None
        for name in state.keys() - model.state_dict().keys():
            model.register_buffer(name, state[name])
    own = model.state_dict()
    if any(name in own and own[name].dtype != tensor.dtype for name, tensor in state.items()):
        return None  # loading would convert it
    model.load_state_dict(state, assign=True)
    elsewhere = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return None if any(tensor.is_meta for tensor in elsewhere.values()) else model.eval()


def user_vectors(run: LoadedRun, first: int, end: int) -> Iterator[tuple[int, Tensor]]:
    """Yield where they begin, and vectors (B, D) of users from `first` to before `end`, as rows of `user_vectors`.

    Where nothing but rows of tables belongs to users, no others are read. If `first` is `end`, one user is yielded.

    Raises:
        DataError: the model's score is not an inner product.
    """
    make: Make = component("model", models.MODELS, completed(run.result["config"])["model"])
    state, names = run.model.state_dict(), tables_of_users(run, make)
    whole = run.model.user_vectors() if names is None else None
    end = max(end, first + 1)
    for start in range(first, end, _AT_ONCE):
        stop = min(start + _AT_ONCE, end)
        if names is None:
            vectors = None if whole is None else whole[start:stop]
        else:
            rows = {name: tensor[start:stop] if name in names else tensor for name, tensor in state.items()}
            part = around(make, stop - start, run.split.num_items, rows)
            vectors = None if part is None else part.user_vectors()
        if vectors is None:
            raise no_vectors(run)
        yield start, vectors


def tables_of_users(run: LoadedRun, make: Make) -> set[str] | None:
    """Return the names of the weights that have a row a user; None if users are in other weights as well."""
    users, items = run.split.num_users, run.split.num_items
    shapes = [
        {name: tuple(t.shape) for name, t in models.undrawn(make, users + more, items).state_dict().items()}
        for more in (0, 1)
    ]
    own = run.model.state_dict()
    if shapes[0] != {name: tuple(t.shape) for name, t in own.items()}:  # it has learnt weights of other sizes
        return None
    names = {name for name, shape in shapes[0].items() if shape != shapes[1][name]}
    return names if names and all(shapes[1][name] == (users + 1, *own[name].shape[1:]) for name in names) else None


def no_vectors(run: LoadedRun) -> DataError:
    """Return the error of a model without vectors."""
    return DataError(
        f"vectors: the score of {type(run.model).__name__} is not an inner product of vectors, as that of gmf is; "
        "forms=model writes the model itself, in one process"
    )
