"""The chance of each item at each place of a Plackett-Luce list, without going through the lists."""

import torch
from torch import Tensor

_STEP = 0.25  # of the rule, in log time; the error falls as exp(-pi² / step)
_EARLIEST = -38.0  # log of a time by which no item has come, to double precision
_CELLS = 2**22  # numbers held at a time


def places_of(logits: Tensor, places: int) -> Tensor:
    """Return the chance (U, C, K), float64, of each of C items at each of the first K places, for logits (U, C).

    A Plackett-Luce list is the order in which items arrive, item i after an exponential time of rate exp(logit).
    Item i is at place k if it comes at t and k - 1 of the others have come before: the integral over t of its density
    times a Poisson-binomial chance. The trapezoidal rule in log t is exact to double precision, since the integrand is
    analytic and vanishes at both ends (Trefethen and Weideman 2014).
    """
    shifted = logits.double() - logits.double().amax(1, keepdim=True)
    last = 4.0 - float(shifted.min())
    log_time = torch.arange(_EARLIEST, last, _STEP, dtype=torch.float64, device=logits.device)
    items = shifted.shape[1]
    chunk = max(1, _CELLS // (len(log_time) * items * places))
    return torch.cat([_chunk(part, log_time, places) for part in shifted.split(chunk)])


def _chunk(logits: Tensor, log_time: Tensor, places: int) -> Tensor:
    """As `places_of`, for some of the users; T nodes of the rule."""
    hazard = (logits[:, None] + log_time[:, None]).exp()  # (u, T, C), rate times time
    before = -torch.expm1(-hazard)
    density = hazard * torch.exp(-hazard) * _STEP
    users, nodes, items = hazard.shape
    count = hazard.new_zeros((users, nodes, places, items))  # how many of the others have come: 0 to K - 1
    count[:, :, 0] = 1
    for other in range(items):
        p = before[:, :, other, None, None].expand(users, nodes, 1, items).clone()
        p[..., other] = 0  # an item is none of its others
        arrived = count[:, :, :-1] * p
        count *= 1 - p
        count[:, :, 1:] += arrived
    return torch.einsum("uti,utki->uik", density, count)
