"""Odd tables and settings at random: an answer in finite numbers, or one line; never a warning of numpy's."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from ncf import effect as command
from ncf.causal import Rule, effect
from ncf.causal.nearest import TIES
from ncf.causal.settings import ESTIMATORS
from ncf.causal.weighting import ESTIMANDS
from ncf.core.formats import as_json
from ncf.errors import NcfError


def odd_table(rng: np.random.Generator) -> pd.DataFrame:
    """A frame of few rows, of any scale, with doubled, far or rounded columns, rare or separated treatments."""
    n, p = int(rng.choice([4, 6, 10, 40, 120, 300])), int(rng.integers(1, 5))
    x = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-6, 7, p)
    if rng.random() < 0.4:
        x[:, 0] = np.round(x[:, 0] / np.abs(x[:, 0]).max() * 2)
    if rng.random() < 0.1:
        x[:, -1] = x[:, 0]
    if rng.random() < 0.1:
        x[:, 0] = 1e9 + rng.normal(size=n)
    chance = rng.choice([0.05, 0.3, 0.5, 0.9])
    d = x[:, 0] > np.median(x[:, 0]) if rng.random() < 0.1 else rng.random(n) < chance
    y = rng.choice(
        [rng.normal(size=n) * 10.0 ** rng.integers(-8, 8), rng.random(n) < 0.3, np.zeros(n)], p=[0.75, 0.2, 0.05]
    )
    columns = dict(zip("abcd", x.T))
    return pd.DataFrame(columns | {"t": d * 1.0, "y": y * 1.0, "g": rng.integers(0, 5, n)})


def odd_settings(rng: np.random.Generator) -> dict:
    """Settings that may contradict each other."""
    rule = Rule(int(rng.integers(1, 6)), rng.random() < 0.5, rng.choice([None, 0.1]), rng.random() < 0.5,
                str(rng.choice(["logit", "score"])), str(rng.choice(TIES)))  # fmt: skip
    return {
        "estimator": str(rng.choice(["all", *ESTIMATORS])), "estimand": str(rng.choice(ESTIMANDS)), "rule": rule,
        "overlap": "warn" if rng.random() < 0.8 else "refuse", "folds": int(rng.integers(1, 6)), "repeats": 1,
        "trim": [None, None, (0.1, 0.9), "best"][rng.integers(4)], "cluster": rng.choice([None, None, "g"]),
    }  # fmt: skip


@pytest.mark.parametrize("part", range(2))
def test_an_answer_or_one_line(part: int) -> None:
    answered = 0
    for run in range(40):
        rng = np.random.default_rng([part, run])
        frame, settings = odd_table(rng), odd_settings(rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = effect(frame, "t", "y", [c for c in "abcd" if c in frame], **settings)
                command.shown(found)
                text = as_json(command.described(found))
            except NcfError as error:
                if "\n" in str(error):
                    raise
                continue
        json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
        assert all(np.isfinite([e.value, e.standard_error]).all() for e in found.estimates)
        answered += 1
    assert answered >= 4
