"""Small services for tests, from conf/ with a few settings of their own."""

from functools import cache
from typing import Any

import pandas as pd

from ncf.core.compose import compose
from ncf.core.config import bind, component
from ncf.runs.identity import resolved
from ncf.service import DESIGNS, POLICIES, WORLDS, Design, Policy, Service, World, samples
from ncf.service.tables import ask, summary

SMALL: dict[str, Any] = {"users": 400, "places": 3, "candidates": 6, "regions": 20, "base_users": 50}


@cache
def settings(*overrides: str) -> dict[str, Any]:
    """What conf/service.yaml says, with overrides; read once, for it takes longer than most tests."""
    return resolved(compose(overrides, root="service"))


def world(name: str = "synthetic", **keys: Any) -> World:
    """A world of conf/."""
    found: World = component("world", WORLDS, settings(f"world={name}")["world"] | keys)()
    return found


def policy(name: str = "ranked", **keys: Any) -> Policy:
    """A policy of conf/."""
    found: Policy = component("policy", POLICIES, settings(f"policy={name}")["policy"] | keys)()
    return found


def design(name: str, **keys: Any) -> Design:
    """A design of conf/."""
    found: Design = bind("design", DESIGNS[name], settings()["design"][name] | keys)()
    return found


def service(shown: Policy | None = None, *, days: int = 6, before: int = 6, seed: int = 1, **keys: Any) -> Service:
    """A small synthetic service."""
    made = world(**(SMALL | keys))
    return Service(made, made.pool(None, seed), shown or policy(), days, before, seed)


def asked(made: Service, replications: int, names: list[str] | None = None) -> pd.DataFrame:
    """What `summary` says of many replications, by method."""
    designs = {name: design(name) for name in names or DESIGNS}
    tables = [ask(designs, sample, 0.01) for sample in samples(made, replications)]
    return summary(pd.concat(tables)).set_index("method")
