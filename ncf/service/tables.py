"""Tables of answers: a row for each method and replication, and what many replications say of a method."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ncf.core.command_line import text_table
from ncf.errors import ConfigError
from ncf.service.designs.base import CLICKS, Answer, Design
from ncf.service.sample import Sample
from ncf.stats.checks import StatisticsError

_NOTHING = 1e-12  # an effect of no more is rounding
_KEYS = ["design", "method", "estimand"]


def ask(designs: Mapping[str, Design], sample: Sample, margin: float) -> pd.DataFrame:
    """Return a row for each answer of each design in each replication of a sample.

    Columns replication, design, method, estimand, value, standard_error, low, high, truth (NaN where the exact value is
    not of this estimand), effect (the exact change in clicks a session), p, finding, n, sessions, shown_b, and further
    numbers of a design.

    Args:
        designs: name -> design.
        sample: the replications.
        margin: of practical equivalence, in clicks a session.

    Raises:
        ConfigError: a design has no answer in one of the replications; to leave it out would change what is asked.
    """
    rows = [
        (replication, name, answer)
        for name, design in designs.items()
        for replication, answers in zip(sample.replications, _answers(name, design, sample), strict=True)
        for answer in answers
    ]
    effect = sample.service.effect
    return pd.DataFrame([_row(replication, name, answer, effect, margin) for replication, name, answer in rows])


def _answers(name: str, design: Design, sample: Sample) -> Iterator[list[Answer]]:
    try:
        yield from design.answers(sample)
    except StatisticsError as error:
        first, last = sample.replications[0], sample.replications[-1]
        which = f"replication {first}" if first == last else f"one of replications {first} to {last}"
        raise ConfigError(
            f"design.{name}: expected enough users and sessions to answer, found too few in {which} ({error}); raise "
            "world.users, world.sessions, days or the design's share, or leave the design out"
        ) from None


def _row(replication: int, design: str, answer: Answer, effect: float, margin: float) -> dict[str, object]:
    e = answer.estimate
    region = (-margin, margin)
    finding = e.finding(region) if answer.estimand == CLICKS else _direction(e.value, e.p())
    return {
        "replication": replication, "design": design, "method": answer.method, "estimand": answer.estimand,
        "value": e.value, "standard_error": e.standard_error, "low": e.low, "high": e.high, "truth": answer.truth,
        "effect": effect, "p": e.p(), "finding": finding, "n": e.n, "sessions": answer.cost.sessions,
        "shown_b": answer.cost.shown_b, **dict(answer.numbers),
    }  # fmt: skip


def _direction(value: float, p: float, alpha: float = 0.05) -> str:
    """Return the finding on a scale of its own, on which no margin is known."""
    return "undecided" if p > alpha or value == 0 else "better" if value > 0 else "worse"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each method over the replications of a table of `ask`.

    Columns design, method, estimand, replications, truth, mean, bias and its Monte Carlo error, sd, error (mean
    standard error), coverage, rejects (share with p <= .05), names (share with the sign of the effect in clicks a
    session, NaN if there is none), sessions and shown_b (means); of a single replication also low, high and finding.
    """
    rows = []
    for key, own in table.groupby(_KEYS, sort=False):
        value, truth, count = own["value"], own["truth"], len(own)
        spread = float(value.std(ddof=1)) if count > 1 else float("nan")
        covers = ((own["low"] <= truth) & (truth <= own["high"])).mean() if truth.notna().all() else float("nan")
        rows.append(
            dict(zip(_KEYS, key, strict=True)) | {
                "replications": count, "truth": truth.iloc[0], "mean": value.mean(),
                "bias": (value - truth).mean(), "bias_error": spread / np.sqrt(count), "sd": spread,
                "error": own["standard_error"].mean(), "coverage": covers, "rejects": (own["p"] <= 0.05).mean(),
                "names": _names_winner(own), "sessions": own["sessions"].mean(),
                "shown_b": own["shown_b"].mean(),
            } | ({} if count > 1 else own[["low", "high", "finding"]].iloc[0].to_dict())
        )  # fmt: skip
    return pd.DataFrame(rows)


def _names_winner(own: pd.DataFrame) -> float:
    """Return the share of estimates with the sign of the effect; NaN where A and B are worth the same."""
    if (own["effect"].abs() < _NOTHING).all():
        return float("nan")
    return float((np.sign(own["value"]) == np.sign(own["effect"])).mean())


def shown(result: Mapping[str, Any]) -> str:
    """Format the result of a service: the truth, and a line for each method."""
    value, methods = result["value"], result["methods"]
    head = (
        f"truth: {result['effect']:+.4f} clicks a session on all days "
        f"(on A's lists {value['run']:.4f}, on B's {value['against']:.4f})\n"
    )
    many = result["replications"] > 1
    columns = _MANY if many else _ONE
    return head + text_table(list(columns), [[_cell(key, row.get(key)) for key in columns.values()] for row in methods])


_ONE = {
    "design": "design", "method": "method", "estimand": "estimand", "estimate": "mean", "low": "low", "high": "high",
    "truth": "truth", "finding": "finding", "sessions": "sessions", "shown B": "shown_b",
}  # fmt: skip
_MANY = {
    "design": "design", "method": "method", "truth": "truth", "mean": "mean", "bias": "bias", "± MC": "bias_error",
    "SD": "sd", "error": "error", "coverage": "coverage", "rejects": "rejects", "names winner": "names",
}  # fmt: skip


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if key in ("sessions", "shown_b") else f"{value:.4f}"
    return str(value)
