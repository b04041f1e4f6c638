"""The settings of training: their ranges, and what each means to a run."""

from typing import Any

import pytest
from toys import keys_of

from ncf.core.config import bind, roles
from ncf.core.roles import DISPLAY, LENGTH, MACHINE, MACHINE_IN_ID, RESULT
from ncf.errors import ConfigError
from ncf.training.settings import TrainerSettings

DEFAULTS = keys_of("trainer", "default")


def settings(**changes: Any) -> TrainerSettings:
    made: TrainerSettings = bind("trainer", TrainerSettings, DEFAULTS | changes)()
    return made


def test_the_yaml_sets_every_key_and_no_other() -> None:
    assert vars(settings()) == DEFAULTS


def test_the_defaults_are_those_of_the_protocol() -> None:
    found = settings()
    assert (found.epochs, found.batch_size, found.patience, found.monitor) == (100, 256, 10, "ndcg@10")
    assert (found.fast, found.compile, found.precision, found.threads) == (True, False, "float32", 1)


@pytest.mark.parametrize("every", ["1s", "60s", "5min", "1epoch", "12epochs"])
def test_an_interval_is_seconds_minutes_or_epochs(every: str) -> None:
    assert settings(checkpoint_every=every).checkpoint_every == every


@pytest.mark.parametrize("every", ["", "60", "s", "-1s", "0s", "1.5s", "1 epoch", "two epochs", "1h", "60s\n"])
def test_an_interval_of_another_form_is_refused(every: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^trainer\.checkpoint_every: .*expected up to nine digits of seconds, minutes or epochs"
    ):
        settings(checkpoint_every=every)


def test_an_interval_without_unit_is_advised_one() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.checkpoint_every: .* \(did you mean 30s\?\), got 30$"):
        settings(checkpoint_every=30)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("batch_size", 1),
        ("patience", 0),
        ("threads", 0),
        ("threads", 1025),
        ("fast", "yes"),
        ("compile", 2),
        ("cuda_graph", "maybe"),
        ("precision", "float16"),
        ("progress", None),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^trainer\.{key}: .*got {value!r}$") as caught:
        settings(**{key: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("graph", ["auto", True, False])
def test_a_cuda_graph_is_asked_for_refused_or_left_to_the_device(graph: object) -> None:
    assert settings(cuda_graph=graph).cuda_graph == graph


def test_the_role_of_each_setting() -> None:
    found = roles(TrainerSettings)
    assert {key for key, role in found.items() if role == RESULT} == {"batch_size", "monitor"}
    assert {key for key, role in found.items() if role == LENGTH} == {"epochs", "patience"}
    assert {key for key, role in found.items() if role == MACHINE} == {"checkpoint_every", "cuda_graph"}
    assert (found["threads"], found["progress"]) == (MACHINE_IN_ID, DISPLAY)


@pytest.mark.parametrize(
    ("key", "since", "other"), [("fast", True, False), ("compile", False, True), ("precision", "float32", "bfloat16")]
)
def test_settings_that_came_later_leave_ids_as_they_were_at_the_value_of_before(
    key: str, since: object, other: object
) -> None:
    role = roles(TrainerSettings)[key]
    assert DEFAULTS[key] == since
    assert not role.identifies(since)
    assert role.identifies(other)
