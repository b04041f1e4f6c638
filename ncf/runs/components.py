"""The configuration groups of a run, of a simulation and of a service, and the components that each chooses from."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from ncf.core.registry import Component, Registry, import_inherited_extensions
from ncf.data import DATASETS, SPLITS
from ncf.errors import ConfigError
from ncf.evaluation import EVALUATIONS
from ncf.losses import LOSSES
from ncf.models import MODELS
from ncf.runs.tracking import TRACKERS
from ncf.simulation import AGENTS, ENVIRONMENTS
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.samplers import SAMPLERS
from ncf.training.settings import TrainerSettings

_REGISTRIES = (
    DATASETS, SPLITS, SAMPLERS, MODELS, LOSSES, OPTIMIZERS, EVALUATIONS, TRACKERS, ENVIRONMENTS, AGENTS,
)  # fmt: skip
_OF_SERVICE = {"world": "WORLDS", "policy": "POLICIES", "design": "DESIGNS"}


class _Registries(Mapping[str, Registry]):
    """Group -> registry. Those of a service are imported when they are asked for: no run needs their statistics."""

    def __init__(self) -> None:
        self._there = {registry.group: registry for registry in _REGISTRIES}

    def __getitem__(self, group: str) -> Registry:
        if group in _OF_SERVICE:
            registry: Registry = getattr(importlib.import_module("ncf.service"), _OF_SERVICE[group])
            return registry
        return self._there[group]

    def __contains__(self, group: object) -> bool:
        return group in self._there or group in _OF_SERVICE

    def __iter__(self) -> Iterator[str]:
        return iter([*self._there, *_OF_SERVICE])

    def __len__(self) -> int:
        return len(self._there) + len(_OF_SERVICE)


REGISTRIES: Mapping[str, Registry] = _Registries()

GROUPS = ("data", "split", "sampler", "model", "loss", "optimizer", "trainer", "evaluation", "tracking")
SIMULATION_GROUPS = ("environment", "agent")
SERVICE_GROUPS = ("world", "policy", "design")
CHOICES = (*GROUPS, "experiment", *SIMULATION_GROUPS, *SERVICE_GROUPS)
"""What is chosen by name on the command line: loss=focal, experiment=ablation_gamma."""

PROTOCOL = ("split", "evaluation", "trainer")
"""The groups in which the runs of one table may differ only in machine settings."""


def register(group: str, name: str, component: Component) -> None:
    """Make `component` available as `group=name`: `ncf.register("loss", "hinge", Hinge)`.

    Args:
        group: data, split, sampler, model, loss, optimizer, evaluation, tracking, environment, agent, world, policy or
            design.
        name: of the component, on the command line and in YAML.
        component: a class or function whose keyword-only parameters are the YAML keys, annotated with their ranges.

    Raises:
        ConfigError: there is no such group, or the name is taken.
    """
    if group not in REGISTRIES:
        raise ConfigError(f"register: expected one of {', '.join(sorted(REGISTRIES))}, got {group!r}")
    REGISTRIES[group].add(name, component)


def chosen(group: str, settings: Mapping[str, Any]) -> Component | None:
    """Return the component that a run's settings choose in a group; None if this version does not have it."""
    if group == "trainer":
        return TrainerSettings
    return REGISTRIES[group].get(str(settings.get("name"))) if group in REGISTRIES else None


import_inherited_extensions()  # in a worker process, before it computes run ids from what components declare
