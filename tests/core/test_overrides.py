"""Python values as overrides: each comes out of Hydra and OmegaConf as it went in."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.core.compose import compose
from ncf.core.config import plain
from ncf.core.overrides import override, overrides_of
from ncf.errors import ConfigError

TEXTS = st.text(st.sampled_from("'\\${}\",=[]: \n\tax.é"), max_size=8)


def means_itself(texts: list[str]) -> None:
    """Composing takes most of the time: several texts at once, the first as a value of its own too."""
    data = compose(["data=csv", override("data.root", texts[0]), override("data.columns", texts)]).data
    assert (data.root, list(data.columns)) == (texts[0], texts)


@pytest.mark.parametrize("text", ["it's a${x}", "\\${x}\\", "null", "3", ""])
def test_text_that_looks_like_something_else_means_itself(text: str) -> None:
    means_itself([text, "b"])


@settings(max_examples=8, deadline=None)
@given(st.lists(TEXTS, min_size=4, max_size=8))
def test_text_means_itself(texts: list[str]) -> None:
    means_itself(texts)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_much_text_means_itself(texts: list[str]) -> None:
    means_itself(texts)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1e22, 1e22),
        (-2.5e-300, -2.5e-300),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(False), False),
        ((1, 2), [1, 2]),
        (np.array([3, 5]), [3, 5]),
        ([], []),
        ([None, "a,b", [1.5]], [None, "a,b", [1.5]]),
        (Path("a b/c's"), "a b/c's"),
    ],
)
def test_values_of_python_and_numpy_mean_themselves(value: Any, expected: Any) -> None:
    data = plain(compose(overrides_of({"data": "csv", "data.archive": "x", "data.root": value})).data)
    found = data["root"]
    assert found == expected
    assert type(found) is type(expected)


def test_numbers_that_no_setting_takes_stay_numbers_to_be_refused() -> None:
    assert math.isnan(compose([override("data.root", math.nan)]).data.root)
    assert compose([override("data.root", -math.inf)]).data.root == -math.inf


def test_nested_mappings_name_the_keys_below() -> None:
    given = {"optimizer": {"lr": 0.5}, "trainer.epochs": 3, "model": "mf"}
    assert overrides_of(given) == ["optimizer.lr=0.5", "trainer.epochs=3", "model='mf'"]
    cfg = compose(overrides_of(given))
    assert (cfg.optimizer.lr, cfg.trainer.epochs, cfg.model.name) == (0.5, 3, "mf")


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", [{"a": 1}], pytest.param(10**5000, id="long"), lambda: 0])
def test_what_no_setting_can_be_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^seed: expected None, true or false, a number, text or a list of these"):
        override("seed", value)


@pytest.mark.parametrize("key", [1, None, "", "a=b"])
def test_a_key_is_a_name(key: Any) -> None:
    with pytest.raises(ConfigError, match=r"^overrides: expected names of settings"):
        overrides_of({key: 1})
