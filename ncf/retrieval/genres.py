"""Genres of items and of users, as tables of numbers: what re-ranking by genre and calibration are made of."""

import numpy as np
import torch
from torch import Tensor

from ncf.data.split import Split
from ncf.errors import DataError
from ncf.models.non_gradient import positives_matrix


def item_genres(split: Split) -> Tensor:
    """Return (I, G) float32: 1 where an item has a genre, a column for each genre in alphabetical order.

    Raises:
        DataError: no item of the data has a genre.
    """
    lists = [] if split.genres is None else [list(filter(None, text.split("|"))) for text in split.genres.tolist()]
    names = sorted({name for one in lists for name in one})
    if not names:
        raise DataError(
            f"{split.name}: expected genres of items, found none (MovieLens has them; those of data.item_features "
            "are not read here); rerank=mmr similarity=co_occurrence needs none"
        )
    column = {name: place for place, name in enumerate(names)}
    table = torch.zeros(split.num_items, len(names))
    for item, one in enumerate(lists):
        table[item, [column[name] for name in one]] = 1
    return table


def shares(table: Tensor) -> Tensor:
    """Return each row of `table` (R, G) divided by its sum; rows of zeros stay as they are."""
    return table / table.sum(1, keepdim=True).clamp(min=torch.finfo(table.dtype).tiny)


def user_genres(split: Split, genres: Tensor) -> Tensor:
    """Return p(g|u) (U, G) float32 of training positives: an item counts once, divided among its genres.

    Steck 2018, eq. 2, with equal weights. A user whose items have no genres has a row of zeros.

    Args:
        genres: (I, G) as `item_genres` returns them.
    """
    matrix = positives_matrix(split.train, split.num_users, split.num_items)
    return shares(torch.from_numpy(np.asarray(matrix @ shares(genres).double().numpy()))).float()
