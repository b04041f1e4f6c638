"""The ways to ask; `DESIGNS` is the registry of the `design` config group."""

from ncf.core.registry import Registry
from ncf.service.designs.ab import ABTest
from ncf.service.designs.base import Answer, Design
from ncf.service.designs.off_policy import OffPolicy

__all__ = ["DESIGNS", "Answer", "Design"]

DESIGNS = Registry("design", {"ab": ABTest, "off_policy": OffPolicy})
