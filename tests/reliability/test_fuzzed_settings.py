"""Fault 20, its settings: whatever is typed or stands in a YAML, the outcome is a plan or one line that names a key."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from apart import typed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from toys import compose

from ncf.core.config import flatten
from ncf.errors import ConfigError
from ncf.runs.components import CHOICES
from ncf.runs.identity import resolved, run_id
from ncf.runs.plan import RunPlan, plan_run

DEFAULT = compose()
OmegaConf.set_struct(DEFAULT, False)
KEYS = [key for key in flatten(resolved(DEFAULT)) if not key.startswith("experiment")]
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(), st.floats(), st.booleans(), st.none())
ODD = st.sampled_from(
    ["", " ", "???", "null", "NaN", "-inf", "1e400", "0x1F", "${seed}", "${nothing}", "${", "../x", "'"]
)
TEXT = st.one_of(ODD, st.text(max_size=12))
NAMES = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(KEYS).map(lambda key: key + "x"),
    st.from_regex(r"[a-z]\w{0,9}").filter(lambda name: not name.startswith("-")),  # that would be an option
)
VALUES = st.recursive(
    st.one_of(NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
TYPED = st.one_of(NUMBERS.map(str), TEXT, st.from_regex(r"[\[{][a-z0-9,: ]{0,9}[\]}]", fullmatch=True))
PREFIXES = st.sampled_from(["", "", "+", "++", "~"])
OVERRIDES = st.lists(st.builds("{}{}={}".format, PREFIXES, NAMES, TYPED), max_size=4)
CHOICES = st.tuples(st.sampled_from(CHOICES), st.one_of(st.sampled_from(["bce", "focal", "mlp", "csv"]), TYPED))

relaxed = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}


def assert_plan_or_one_line(cfg: DictConfig) -> None:
    """What `run` does with a configuration before it reads any data."""
    try:
        assert isinstance(plan_run(cfg), RunPlan)
        run_id(resolved(cfg))
        return
    except ConfigError as error:
        message = str(error)
    assert re.fullmatch(r"[^\n]+: [^\n]+", message), message


def set_in_yaml(changes: dict[str, Any]) -> None:
    cfg = copy.deepcopy(DEFAULT)
    for key, value in changes.items():
        try:
            OmegaConf.update(cfg, key, value, merge=False, force_add=True)
        except (OmegaConfBaseException, ValueError, IndexError):
            return  # no path leads there
    assert_plan_or_one_line(cfg)


def assert_data_or_one_line(scratch: Path, overrides: list[str], choice: tuple[str, str] | None) -> None:
    """The whole command line: it comes as far as the data, or ends in one line and with status 2."""
    status, said = typed([*([f"{choice[0]}={choice[1]}"] if choice else []), *overrides], scratch / "run")
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(1)
    assert status == 2
    assert re.fullmatch(r"error: [^\n]+\n", said), said
    assert not [
        path for path in scratch.rglob("*") if path.is_file() and path.name != ".lock" and ".hydra" not in path.parts
    ]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("typed")


@settings(max_examples=25, **relaxed)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_any_yaml_gives_a_plan_or_one_line(changes: dict[str, Any]) -> None:
    set_in_yaml(changes)


@pytest.mark.parametrize("key", ["", " "])
def test_a_blank_key_is_named_so_that_it_can_be_seen(key: str) -> None:
    cfg = copy.deepcopy(DEFAULT)
    cfg[key] = OmegaConf.create({"a": None})
    with pytest.raises(ConfigError, match=f"'{key}': unknown key"):
        plan_run(cfg)


@settings(max_examples=5, **relaxed)
@given(OVERRIDES, st.one_of(st.none(), CHOICES))
def test_anything_typed_comes_to_the_data_or_is_one_line(
    scratch: Path, overrides: list[str], choice: tuple[str, str] | None
) -> None:
    assert_data_or_one_line(scratch, overrides, choice)


@pytest.mark.parametrize("option", ["-a=None", "--seed=3", "--multi-run", "-"])
def test_an_unknown_option_is_a_usage_error(option: str, tmp_path: Path) -> None:
    status, said = typed([option], tmp_path / "run")
    assert status == 2
    assert said.splitlines()[-1].startswith(("ncf.train: error: ", "error: ")), said
    assert option in said.splitlines()[-1]


@pytest.mark.slow
@settings(max_examples=500, **relaxed)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_any_yaml_gives_a_plan_or_one_line_at_length(changes: dict[str, Any]) -> None:
    set_in_yaml(changes)


@pytest.mark.slow
@settings(max_examples=500, **relaxed)
@given(OVERRIDES, st.one_of(st.none(), CHOICES))
def test_anything_typed_comes_to_the_data_or_is_one_line_at_length(
    scratch: Path, overrides: list[str], choice: tuple[str, str] | None
) -> None:
    assert_data_or_one_line(scratch, overrides, choice)
