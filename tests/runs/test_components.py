"""The groups of a run's configuration: what each picks from, and components of one's own beside them."""

from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import OmegaConf
from quickly import composed
from toys import compose

import ncf
from ncf.core.compose import CONF
from ncf.core.compose import compose as compose_any
from ncf.core.config import roles
from ncf.core.roles import DISPLAY, MACHINE, MACHINE_IN_ID, RESULT, Role
from ncf.errors import ConfigError
from ncf.losses import BCE, LOSSES
from ncf.runs.components import (
    CHOICES,
    GROUPS,
    PROTOCOL,
    REGISTRIES,
    SERVICE_GROUPS,
    SIMULATION_GROUPS,
    chosen,
    register,
)
from ncf.runs.identity import resolved
from ncf.runs.plan import plan_run
from ncf.training.settings import TrainerSettings


@pytest.fixture
def registries() -> Iterator[None]:
    """What a test registers goes away."""
    before = {group: dict(registry) for group, registry in REGISTRIES.items()}
    yield
    for group, registry in REGISTRIES.items():
        registry.clear()
        registry.update(before[group])


class Own(BCE):
    """A loss of one's own."""


def node_of(group: str, name: str) -> Any:
    """What a file of a group says, in the configuration of a run or of a simulation."""
    if group in SIMULATION_GROUPS:
        return compose_any([f"{group}={name}"], root="simulate")[group]
    if group == "design":  # of which several may be chosen, each under its name
        ((own, node),) = compose_any([f"design=[{name}]"], root="service").design.items()
        return OmegaConf.create({"name": own, **node})
    if group in SERVICE_GROUPS:
        return compose_any([f"{group}={name}"], root="service")[group]
    return composed(f"{group}={name}")[group]


def test_the_groups_are_those_of_the_configuration() -> None:
    assert {key for key, node in resolved(compose()).items() if isinstance(node, dict)} == set(GROUPS)
    assert set(REGISTRIES) == (set(GROUPS) - {"trainer"}) | set(SIMULATION_GROUPS) | set(SERVICE_GROUPS)
    assert set(CHOICES) == {*GROUPS, "experiment", *SIMULATION_GROUPS, *SERVICE_GROUPS}
    assert set(PROTOCOL) < set(GROUPS)
    assert all((CONF / group).is_dir() for group in CHOICES)


@pytest.mark.parametrize("group", REGISTRIES)
def test_every_component_has_a_file_and_every_file_a_component(group: str) -> None:
    """Files may share a component: MovieLens comes in five sizes."""
    names = {str(node_of(group, path.stem).name) for path in (CONF / group).glob("*.yaml")}
    assert names == set(REGISTRIES[group])


def test_what_settings_choose_is_found_by_its_name() -> None:
    assert chosen("loss", {"name": "bce"}) is BCE
    assert chosen("trainer", {}) is TrainerSettings
    for group, settings in {"loss": {"name": "nosuch"}, "model": {}, "nosuch": {"name": "bce"}}.items():
        assert chosen(group, settings) is None


@pytest.mark.usefixtures("registries")
def test_a_component_of_one_s_own_is_chosen_like_any_other() -> None:
    assert ncf.register is register
    register("loss", "own", Own)
    assert isinstance(plan_run(composed("loss.name=own")).loss, Own)
    register("loss", "own", Own)  # importing it twice is no error


@pytest.mark.usefixtures("registries")
def test_neither_another_s_name_nor_an_unknown_group_is_taken() -> None:
    with pytest.raises(ConfigError, match=r"^register: loss=bce is already registered; expected another name$"):
        register("loss", "bce", Own)
    with pytest.raises(ConfigError, match=r"^register: expected one of agent, data, .*, world, got 'losses'$"):
        register("losses", "own", Own)
    assert LOSSES["bce"] is BCE


LATER = Role(since=["hit", "ndcg", "mrr"])
CORE = {"min_user_positives": Role(since=0), "min_item_positives": Role(since=0)}
SCHEDULE = {
    "clip_norm": Role(since=None), "schedule": Role(since="constant"), "warmup": Role(since=None),
    "period": Role(since=None), "decay": Role(since=0.1),
}  # fmt: skip
DROPOUT = {"dropout": Role(since=0.0)}
FILES = {f"{what}_features": Role("machine", since=None) for what in ("item", "user")}
FILES |= {f"{what}_features_sha256": Role(since=None) for what in ("item", "user")}
CORE |= FILES
DECAY = {"decay": Role(since="positions"), "half_life": Role(since=None)}
RELEASES = [f"data.ml-{size}" for size in ("100k", "1m", "10m", "20m", "25m", "32m")]
ROLES = {
    "split.leave_one_out": {"back": Role(since=0)},
    "data.csv": {"root": MACHINE, "archive": MACHINE, "time": Role(since="s"), **CORE},
    "data.synthetic": {"root": MACHINE, **CORE},
    **{name: {"root": MACHINE, "archive": MACHINE, **CORE} for name in RELEASES},
    **{f"model.{name}": DECAY for name in ("ease", "item_knn", "cease")},
    **{f"model.{name}": {"word_file": MACHINE, **DECAY} for name in ("content", "content_knn")},
    "model.hybrid": {"parts": MACHINE},
    "model.ials": {"cg_steps": Role(since=0)},
    "model.puresvd": {"power_iterations": Role(since=None)},
    "model.mlp": DROPOUT,
    "model.neumf": DROPOUT,
    "model.neumf_pretrained": {"pretrained_gmf": MACHINE, "pretrained_mlp": MACHINE, **DROPOUT},
    **{f"optimizer.{name}": SCHEDULE for name in ("adam", "adamw", "sgd")},
    "evaluation.full": {"memory_mb": MACHINE_IN_ID, "metrics": LATER},
    "evaluation.sampled": {"memory_mb": MACHINE_IN_ID, "metrics": LATER},
    "tracking.mlflow": {"store": DISPLAY, "experiment": DISPLAY},
    "tracking.wandb": {"mode": DISPLAY, "store": DISPLAY, "project": DISPLAY},
}


def test_every_other_key_of_a_component_changes_the_result() -> None:
    """A key without a role makes its run another run; here are those that have one."""
    found = {
        f"{group}.{name}": {key: role for key, role in roles(component).items() if role != RESULT}
        for group, registry in REGISTRIES.items()
        for name, component in registry.items()
    }
    assert {name: own for name, own in found.items() if own} == ROLES


def test_choosing_a_tracker_is_for_display_and_everything_else_is_for_the_result() -> None:
    assert {group: registry.role for group, registry in REGISTRIES.items()} == {
        group: DISPLAY if group == "tracking" else RESULT for group in REGISTRIES
    }


@pytest.mark.parametrize("group", REGISTRIES)
def test_every_declared_key_can_be_set_in_the_file_of_its_component(group: str) -> None:
    """A role on a key that no YAML has would mean nothing."""
    for path in (CONF / group).glob("*.yaml"):
        node = node_of(group, path.stem)
        assert set(roles(REGISTRIES[group][node.name])) == set(node) - {"name"}
