"""Tables of answers: a row for each, and what many replications say, by hand."""

import numpy as np
import pandas as pd
import pytest
from toy_services import design, service

from ncf.errors import ConfigError
from ncf.service import Sample, samples
from ncf.service.tables import ask, shown, summary


def rows(values: list[float], finding: str = "better") -> pd.DataFrame:
    n = len(values)
    value = np.array(values)
    return pd.DataFrame({
        "design": "ab", "method": "A/B", "estimand": "clicks a session", "value": value, "standard_error": 0.5,
        "low": value - 1, "high": value + 1, "truth": 2.0, "effect": 2.0, "p": [0.01] * (n - 1) + [0.5],
        "finding": finding, "sessions": 10.0, "shown_b": 5.0,
    })  # fmt: skip


def test_many_replications_by_hand() -> None:
    found = summary(rows([1.5, 2.5, 4.0, -2.0])).iloc[0]
    assert found["mean"] == pytest.approx(1.5)
    assert found["bias"] == pytest.approx(-0.5)
    assert found["sd"] == pytest.approx(np.std([1.5, 2.5, 4, -2], ddof=1))
    assert found["bias_error"] == pytest.approx(found["sd"] / 2)
    assert found["coverage"] == 0.5
    assert found["rejects"] == 0.75
    assert found["names"] == 0.75
    assert "finding" not in found


def test_one_replication_has_its_finding_and_an_answer_of_another_scale_no_coverage() -> None:
    one = rows([1.5]).assign(truth=np.nan)
    found = summary(one).iloc[0]
    assert found["finding"] == "better"
    assert np.isnan(found["coverage"])


def test_every_answer_is_a_row_beside_the_truth() -> None:
    made = service()
    designs = {name: design(name) for name in ("offline", "ab", "interleave")}
    table = pd.concat([ask(designs, sample, 0.01) for sample in samples(made, 2)])
    assert table["replication"].tolist() == [0, 1] * 1 + [0, 0, 1, 1] + [0, 1]
    assert (table["effect"] == made.effect).all()
    assert set(table["finding"]) <= {"better", "worse", "equivalent", "undecided"}
    methods = summary(table).to_dict("records")
    text = shown({"effect": made.effect, "value": {"run": 0.5, "against": 0.6}, "replications": 2, "methods": methods})
    assert text.startswith(f"truth: {made.effect:+.4f} clicks a session on all days (on A's lists 0.5000, on B's 0.6")
    assert all(method in text for method in ("offline NDCG@10", "A/B, CUPED", "interleaving"))


def test_a_replication_that_a_design_cannot_answer_is_one_line_that_names_the_design() -> None:
    few = Sample(service(users=20, regions=4, sessions=0.001), range(3, 5))
    said = r"^design\.off_policy: expected enough users and sessions .* one of replications 3 to 4 \(.*\); raise world"
    with pytest.raises(ConfigError, match=said):
        ask({"off_policy": design("off_policy")}, few, 0.01)


def test_there_is_no_winner_to_name_where_both_are_worth_the_same() -> None:
    assert np.isnan(summary(rows([1.5, -2.5]).assign(effect=1e-17)).iloc[0]["names"])


def test_counts_are_whole_and_shares_are_not() -> None:
    methods = summary(rows([1.5]).assign(sessions=0.0)).to_dict("records")
    line = shown({"effect": 0.1, "value": {"run": 0.5, "against": 0.6}, "replications": 1, "methods": methods})
    assert line.split()[-2:] == ["0", "5"]
    many = summary(rows([1.5, 1.6])).to_dict("records")
    line = shown({"effect": 0.1, "value": {"run": 0.5, "against": 0.6}, "replications": 2, "methods": many})
    assert "1.0000" in line.splitlines()[-1]
