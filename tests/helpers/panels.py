"""Panels for tests: castle doctrine, and rollouts whose truth is known."""

from functools import cache

import causaldata
import numpy as np
import pandas as pd

from ncf.causal.panel import Panel, panel


@cache
def castle_frame() -> pd.DataFrame:
    """Homicide by state and year; the outcome as float64, since means of its float32 differ in the seventh digit."""
    data = causaldata.castle.load_pandas().data
    return data[["sid", "year", "post", "l_homicide", "popwt"]].astype({"l_homicide": np.float64, "popwt": np.float64})


@cache
def castle(weighted: bool = False) -> Panel:
    """The same as a panel."""
    weights = "popwt" if weighted else None
    return panel(castle_frame(), unit="sid", time="year", treated="post", outcome="l_homicide", weights=weights)


def staggered(
    rng: np.random.Generator, *, units: int = 60, periods: int = 8, first: tuple[int, ...] = (3, 5, 8),
    growth: float = 0.0, effect: float = 1.0, noise: float = 1.0,
) -> tuple[Panel, np.ndarray]:  # fmt: skip
    """A rollout in cohorts of equal size, and the true effects (N, T): `effect` at once, `growth` more each period."""
    start = np.resize(first, units)
    since = np.arange(periods) - start[:, None]
    true = np.where(since >= 0, effect + growth * since, 0.0)
    outcome = rng.normal(size=(units, 1)) + rng.normal(size=periods) + true + noise * rng.normal(size=(units, periods))
    made = Panel(outcome, since >= 0, np.ones((units, periods)), np.arange(units), np.arange(periods))
    return made, true


def simulated(runs: int, seed: int, *, rho: float, units: int = 40, **settings: float) -> list[Panel]:
    """Rollouts whose noise is an AR(1) within units."""
    made, draws = [], np.random.default_rng(seed)
    for _ in range(runs):
        panel, _ = staggered(draws, units=units, first=(3, 8), noise=0.0, **settings)
        noise = draws.normal(size=panel.outcome.shape)
        for t in range(1, noise.shape[1]):
            noise[:, t] = rho * noise[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
        made.append(Panel(panel.outcome + noise, panel.treated, panel.weights, panel.units, panel.periods))
    return made
