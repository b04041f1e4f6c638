"""The ways to ask; `DESIGNS` is the registry of the `design` config group."""

from ncf.core.registry import Registry
from ncf.service.designs.ab import ABTest
from ncf.service.designs.base import Answer, Design
from ncf.service.designs.cluster_ab import ClusterABTest
from ncf.service.designs.interleave import Interleave
from ncf.service.designs.off_policy import OffPolicy
from ncf.service.designs.offline import Offline
from ncf.service.designs.opt_in import OptIn
from ncf.service.designs.rollout import Rollout

__all__ = ["DESIGNS", "Answer", "Design"]

DESIGNS = Registry(
    "design",
    {
        "offline": Offline, "off_policy": OffPolicy, "ab": ABTest, "cluster_ab": ClusterABTest,
        "interleave": Interleave, "opt_in": OptIn, "rollout": Rollout,
    },
)  # fmt: skip
