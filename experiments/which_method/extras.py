"""Besides the designs: how NDCG agrees with clicks, daily looks at A against A, and pictures of one replication."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from experiments.which_method.runs import HERE, RUNS, USUAL, Cell, pair_settings, registered
from ncf.causal.balance import balance
from ncf.causal.propensity import overlap, scores
from ncf.causal.rollout import rollout
from ncf.causal.units import units
from ncf.causal.weighting import weights
from ncf.core.compose import compose
from ncf.errors import ConfigError
from ncf.online import always_valid, sequential
from ncf.report.collect import write_table
from ncf.runs.service import ServiceJob, open_service, plan_service
from ncf.service import Service, samples
from ncf.service.designs.ab import ORDER
from ncf.service.designs.base import chosen
from ncf.service.designs.opt_in import OptIn
from ncf.service.designs.rollout import Rollout
from ncf.service.sample import Sample, numpy
from ncf.stats.checks import Array

AGREEMENT, PEEKING = HERE / "agreement.csv", HERE / "peeking.csv"
EXAMPLES = [HERE / f"{name}.csv" for name in ("balance", "overlap", "events", "comparisons")]


def write() -> None:
    """Write the tables that are not there yet."""
    if not AGREEMENT.exists():
        write_table(agreement(), AGREEMENT, "%.6g")
    if not all(path.exists() for path in EXAMPLES):
        for table, path in zip(examples(), EXAMPLES, strict=True):
            write_table(table, path, "%.6g")
    if not PEEKING.exists():
        write_table(peeking(), PEEKING, "%.6g")


def opened(overrides: list[str]) -> ServiceJob:
    """Return a service that is ready to be asked; nothing is written."""
    job = open_service(plan_service(compose(overrides, root="service")), RUNS / "none", lambda: False)
    if not isinstance(job, ServiceJob):
        raise ConfigError(f"{RUNS / 'none'}: expected no run here, found one; remove it")
    return job


def agreement() -> pd.DataFrame:
    """Return a row a world and pair: gain in NDCG@10 on held-out ratings, exact gain in clicks a session."""
    plan, rows = registered(), []
    names = plan["agreement"]["models"]
    for world in plan["agreement"]["worlds"]:
        for first, second in combinations(names, 2):
            usual = [s for s in plan["settings"] if not s.startswith("design.")]
            made = opened([*pair_settings(f"{first}/{second}", world), *usual, "design=[offline]"]).service
            assert made.offline is not None
            of_a, of_b = made.offline
            change = numpy(of_b - of_a)
            rows.append({
                "world": world, "a": first, "b": second, "ndcg": float(change.mean()),
                "ndcg_error": float(change.std(ddof=1) / np.sqrt(len(change))), "clicks": made.effect,
                "clicks_a": float(made.values[0].mean()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def examples() -> list[pd.DataFrame]:
    """Return balance and overlap of opt_in, event study and two-by-two comparisons of rollout, of one replication."""
    plan = registered()
    job = opened(Cell(plan["example"], plan["users"], USUAL, 1).overrides)
    sample = next(samples(job.service, 1))
    opt_in, staged = job.plan.designs["opt_in"], job.plan.designs["rollout"]
    assert isinstance(opt_in, OptIn)
    assert isinstance(staged, Rollout)
    values, t, columns, _ = next(opt_in.observed(sample))
    given = units(t.astype(np.float64), values, columns["seen"])
    chance = scores(given).values
    balanced = balance(given, weights(given.treatment, chance))
    balanced["confounder"] = ["enthusiasm", "sessions before"]
    found = rollout(next(staged.panels(sample))[0], estimators=["twfe", "group_time"], seed=plan["seed"])
    parts = found.decomposition
    assert parts is not None
    pairs = pd.DataFrame({
        "kind": parts.kind, "treated": parts.treated, "control": parts.control, "estimate": parts.estimates,
        "weight": parts.weights,
    })  # fmt: skip
    return [balanced, overlap(given.treatment, chance), found.events, pairs]


def peeking() -> pd.DataFrame:
    """Return a row for each rule: how often it finds a difference between A and A by the last day."""
    plan = registered()["peeking"]
    made = opened(Cell(plan["pair"], plan["users"], USUAL, plan["replications"], ("ab",)).overrides).service
    effects, errors = (np.concatenate(parts) for parts in zip(*_all_looks(made, plan["replications"]), strict=True))
    rows = []
    for rule, stops in rules(effects, errors, plan["tau"]).items():
        by_day = np.maximum.accumulate(stops, axis=1).mean(0)
        rows += [
            {"rule": rule, "day": day + 1, "stopped": share, "replications": len(stops)}
            for day, share in enumerate(by_day)
        ]
    return pd.DataFrame(rows)


def rules(effects: Array, errors: Array, tau: float) -> dict[str, Array]:
    """Return for each rule where it finds a difference, (R, T) bool, from estimates and errors (R, T) of each day."""
    z = np.abs(effects) / errors
    days = z.shape[1]
    usual = 1.959963984540054
    once = z > usual
    once[:, :-1] = False
    planned = {kind: z >= sequential.bounds(days, kind=kind) for kind in ("obrien_fleming", "pocock")}
    return {"once": once, "daily": z > usual, **planned, "msprt": always_valid.msprt(effects, errors, tau) <= 0.05}


def _all_looks(service: Service, replications: int) -> Iterator[tuple[Array, Array]]:
    return (looks(sample) for sample in samples(service, replications))


def looks(sample: Sample) -> tuple[Array, Array]:
    """Return the A/B test's difference of clicks a session and its standard error after each day, (R, T) each."""
    treated = numpy(chosen(sample.order(ORDER), 0.5)) > 0
    sessions = np.cumsum(numpy(sample.counts[:, :, 1:]), axis=2)
    a, b = (np.cumsum(numpy(clicks[:, :, 1:]), axis=2) for clicks in (sample.clicks_a, sample.clicks_b))
    means, variances = [], []
    for clicks, own in ((a, ~treated), (b, treated)):
        n = own.sum(1)[:, None]
        top, bottom = (np.where(own[:, :, None], v, 0.0) for v in (clicks, sessions))
        rate = top.sum(1) / bottom.sum(1)
        left = top - rate[:, None] * bottom  # sums to 0 in each arm
        means.append(rate)
        variances.append((left**2).sum(1) / (n - 1) * n / bottom.sum(1) ** 2)
    return means[1] - means[0], np.sqrt(variances[0] + variances[1])
