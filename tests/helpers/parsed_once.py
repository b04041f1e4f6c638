"""Hydra parses each text of conf/ once a session: that is a quarter of a composition, and tests make hundreds."""

import copy
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ncf.core.compose import CONF

_load = OmegaConf.load
_of_text = functools.cache(lambda text: _load(io.StringIO(text)))


@pytest.fixture(autouse=True, scope="session")
def _parsed_once() -> Iterator[None]:
    """`OmegaConf.load` of an open file of conf/ gives a copy of what its text has given before."""

    def load(file: Any) -> Any:
        ours = isinstance(file, io.TextIOWrapper) and CONF in Path(file.name).parents
        return copy.deepcopy(_of_text(file.read())) if ours else _load(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load))
        yield
