"""Components: keys are checked before anything is built, and every YAML of conf/ is complete."""

import inspect
from functools import partial
from typing import Annotated, Any

import pytest
from omegaconf import OmegaConf
from pydantic import Field
from toys import compose, keys_of

from ncf.core.compose import CONF
from ncf.core.compose import compose as compose_command
from ncf.core.config import bind, component, flatten, float_keys, plain, roles
from ncf.core.roles import DISPLAY, MACHINE, RESULT
from ncf.errors import ConfigError
from ncf.runs.components import REGISTRIES
from ncf.training.settings import TrainerSettings


def toy(context: str, *, size: Annotated[int, Field(ge=1)], rate: float, flag: bool, note: str | None) -> dict:
    return {"context": context, "size": size, "rate": rate, "flag": flag, "note": note}


SOURCES = [{"model": {"name": "popularity"}, "weights_sha256": name} for name in "ab"]  # of a hybrid
GOOD = {"size": 3, "rate": 0.5, "flag": True, "note": None}
TOYS = {"toy": toy, "other": toy}


def refused(changes: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        component("group", TOYS, {"name": "toy", **GOOD, **changes})
    return str(caught.value)


def test_keys_become_keyword_arguments_and_context_is_positional() -> None:
    assert component("group", TOYS, {"name": "toy", **GOOD})("here") == {"context": "here", **GOOD}


def test_a_whole_number_is_a_float() -> None:
    assert component("group", TOYS, {"name": "toy", **GOOD, "rate": 2})("")["rate"] == 2.0


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("size", 0, "greater than or equal to 1"),
        ("size", 2.5, "valid integer"),
        ("size", "3", "valid integer"),
        ("size", True, "valid integer"),
        ("size", None, "valid integer"),
        ("rate", "0.5", "valid number"),
        ("rate", float("nan"), "finite"),
        ("rate", float("inf"), "finite"),
        ("flag", 1, "valid boolean"),
        ("flag", "yes", "valid boolean"),
        ("note", 3, "valid string"),
    ],
)
def test_a_value_of_another_type_or_range_is_refused_by_its_key(key: str, value: object, expected: str) -> None:
    message = refused({key: value})
    assert message.startswith(f"group.{key}: ")
    assert expected in message
    assert message.endswith(f"got {value!r}")
    assert "\n" not in message


def test_a_setting_without_a_value_is_named_with_how_to_set_it() -> None:
    with pytest.raises(
        ConfigError, match=r"^model\.parts: expected a value, found none; set it with model\.parts=\.\.\.$"
    ):
        plain(OmegaConf.create({"model": {"parts": "???"}}))


@pytest.mark.parametrize("digits", [10, 19, 30, 5000])
def test_a_number_without_end_is_refused_in_one_short_line(digits: int) -> None:
    message = refused({"size": 10**digits - 1})
    assert message.startswith("group.size: expected at most 1,000,000,000, got ")
    assert len(message) < 200
    with pytest.raises(ConfigError, match=r"^sizes: expected a number that fits in 64 bits, got a number of thousands"):
        plain(OmegaConf.create({"sizes": [1, 16**5000]}))


@pytest.mark.parametrize("override", ["seed={}", "optimizer.lr={}", "model.hidden=[{}]"])
def test_a_number_that_python_does_not_read_is_one_line(override: str) -> None:
    with pytest.raises(ConfigError, match="4300 digits"):
        compose_command([override.format("9" * 5000)])


def test_a_declared_upper_bound_is_the_only_one() -> None:
    def made(*, seed: Annotated[int, Field(ge=0, lt=2**63)], some: list[Annotated[int, Field(le=2**40)]]) -> tuple:
        return seed, some

    assert bind("", made, {"seed": 2**63 - 1, "some": [2**40]})() == (2**63 - 1, [2**40])


def test_the_keys_that_hold_floats_are_known() -> None:
    def made(
        *, a: float, b: int, c: Annotated[float, Field(ge=0)] | None, d: list[float] | None, e: int | float, f: str
    ) -> None:
        raise AssertionError("annotations are read, nothing is made")

    assert float_keys(made) == {"a", "c", "d"}


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    assert (
        refused({"siez": 3}) == "group.siez: unknown key, expected one of flag, note, rate, size (did you mean 'size'?)"
    )


def test_context_cannot_be_set_from_the_configuration() -> None:
    assert refused({"context": "x"}).startswith("group.context: unknown key")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^group\.rate: missing$"):
        component("group", TOYS, {"name": "toy", "size": 3, "flag": True, "note": None})


@pytest.mark.parametrize("name", ["tyo", "os.system", "ncf.losses.BCE", None, 3, ["toy"], {"toy": 1}])
def test_only_names_of_the_registry_are_components(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^group\.name: expected one of other, toy, got"):
        component("group", TOYS, {"name": name, **GOOD})


def test_a_target_is_an_unknown_key_like_any_other() -> None:
    assert refused({"_target_": "os.system"}).startswith("group._target_: unknown key")


def test_every_problem_is_reported_at_once() -> None:
    message = refused({"size": 0, "rate": None})
    assert "group.size" in message
    assert "group.rate" in message


@pytest.mark.parametrize("value", ["${nothing}", "???", "${oc.env:NO_SUCH_VARIABLE_HERE}"])
def test_what_does_not_resolve_is_a_configuration_error(value: str) -> None:
    with pytest.raises(ConfigError):
        plain(OmegaConf.create({"size": value}))


def test_keys_of_the_root_carry_no_group() -> None:
    with pytest.raises(ConfigError, match=r"^size: "):
        bind("", toy, {**GOOD, "size": 0})


@pytest.mark.parametrize(("group", "name"), [(g, n) for g, registry in REGISTRIES.items() for n in registry])
def test_every_component_has_a_yaml_with_its_keys_and_no_other(group: str, name: str) -> None:
    """`component` refuses a missing and an unknown key, so binding shows that the two lists are one."""
    computed = {"${delimiter:${.archive}}": ",", "${threshold:${.rating}}": 4, "${hybrid_parts:${.parts}}": SOURCES}
    keys = {key: computed.get(str(value), value) for key, value in keys_of(group, name).items()}
    assert isinstance(component(group, REGISTRIES[group], keys), partial)


@pytest.mark.parametrize("group", REGISTRIES)
def test_every_yaml_belongs_to_a_component(group: str) -> None:
    for path in (CONF / group).glob("*.yaml"):
        node = OmegaConf.load(path)
        names = node if group == "design" else [node.name]  # several designs may be chosen, each under its name
        assert set(names) <= set(REGISTRIES[group]), path


@pytest.mark.parametrize(("group", "name"), [(g, n) for g, registry in REGISTRIES.items() for n in registry])
def test_defaults_live_in_the_yaml_only(group: str, name: str) -> None:
    for parameter in inspect.signature(REGISTRIES[group][name]).parameters.values():
        assert parameter.default is parameter.empty, parameter


def test_nested_settings_flatten_to_dotted_keys_and_lists_stay_whole() -> None:
    nested = {"seed": 1, "trainer": {"epochs": 2, "clock": {"every": "60s"}}, "model": {"hidden": [8, 4]}, "none": {}}
    assert flatten(nested) == {"seed": 1, "trainer.epochs": 2, "trainer.clock.every": "60s", "model.hidden": [8, 4]}


def test_the_role_of_a_key_is_the_one_in_its_annotation_and_result_without_one() -> None:
    def made(context: str, *, a: Annotated[int, Field(ge=1), MACHINE], b: float, c: Annotated[str, DISPLAY]) -> None:
        raise AssertionError("roles are read, nothing is made")

    assert roles(made) == {"a": MACHINE, "b": RESULT, "c": DISPLAY}


def test_a_key_of_a_plain_dataclass_and_of_a_function_are_bound_alike() -> None:
    keys = plain(compose().trainer)
    assert bind("trainer", TrainerSettings, keys)().epochs == keys["epochs"]
    with pytest.raises(ConfigError, match=r"^trainer\.epochs: .*got 0$"):
        bind("trainer", TrainerSettings, keys | {"epochs": 0})


def test_what_the_members_of_a_union_expect_is_joined_by_or() -> None:
    with pytest.raises(ConfigError) as caught:
        component("loss", REGISTRIES["loss"], {"name": "focal", "gamma": 2.0, "alpha": "half"})
    assert str(caught.value) == ("loss.alpha: expected a valid number or 'balanced', got 'half'")


def test_an_item_of_a_list_is_named_by_its_place() -> None:
    keys = keys_of("evaluation", "full") | {"cutoffs": [5, 0]}
    with pytest.raises(ConfigError, match=r"^evaluation\.cutoffs\.1: .*greater than 0, got 0$"):
        component("evaluation", REGISTRIES["evaluation"], keys)


def test_the_protocol_of_the_reference_study_is_the_default() -> None:
    cfg = compose()
    assert (cfg.seed, cfg.neg_ratio, cfg.trainer.batch_size, cfg.trainer.epochs) == (42, 10, 256, 100)
    assert (cfg.trainer.patience, cfg.trainer.monitor, cfg.optimizer.lr) == (10, "ndcg@10", 1e-3)
    assert (cfg.data.name, cfg.data.threshold, cfg.split.ties) == ("ml-100k", 4, "file")
    assert (cfg.evaluation.cutoffs, cfg.evaluation.ties) == ([5, 10, 20], "average")
    sizes = {"gmf_factors": 64, "mlp_factors": 64, "hidden": [128, 64, 32]}
    assert dict(cfg.model) == {"name": "neumf", **sizes, "dropout": 0.0}
