"""From scores to recommendations whose probability is known."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.simulation.base import Recommendations, best_of

Epsilon = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=1e6)]


def greedy(scores: Tensor, stream: torch.Generator, epsilon: float = 0.0, temperature: float = 0.0) -> Recommendations:
    """Recommend the best item by scores (B, I) or, with probability `epsilon`, one drawn uniformly.

    Args:
        scores: finite.
        stream: what is drawn comes from it.
        epsilon: in [0, 1].
        temperature: above 0, instead of the best item one with probability proportional to exp(score / temperature).
    """
    users, num_items = scores.shape
    if temperature:
        below = scores.double() - scores.double().amax(1, keepdim=True)  # no temperature is too low to divide by
        chances = torch.softmax(below / temperature, 1)
        items = torch.multinomial(chances, 1, generator=stream)[:, 0]
    else:
        _, items = best_of(scores)
        chances = None
    if epsilon:
        explores = torch.rand(users, generator=stream, device=scores.device) < epsilon
        others = torch.randint(num_items, (users,), generator=stream, device=scores.device)
        best, items = items, torch.where(explores, others, items)
    else:
        best = items
    chosen = items[:, None]
    own = (items == best).double() if chances is None else chances.gather(1, chosen)[:, 0]
    return Recommendations(items, scores.gather(1, chosen)[:, 0].double(), (1 - epsilon) * own + epsilon / num_items)
