"""Thompson sampling for the items alone: who the user is does not count."""

import torch
from torch import Tensor

from ncf.simulation.agents.best_item import BestItem
from ncf.simulation.base import Recommendations, best_of, unknown


class ItemThompson(BestItem):
    """Draws, for each user, every item's mean reward from its posterior, and recommends the highest (Thompson 1933)."""

    def _choose(self, users: Tensor, stream: torch.Generator) -> Recommendations:
        means, variances = self.means.posterior()
        shape = (len(users), self.num_items)
        normals = torch.randn(shape, generator=stream, dtype=torch.float32, device=means.device)
        _, items = best_of(means.float() + variances.sqrt().float() * normals)
        return Recommendations(items, means[items], unknown(items))
