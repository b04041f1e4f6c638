"""Every method over many replications: those that are right are unbiased and cover, those that are wrong show it."""

import numpy as np
import pandas as pd
import pytest
from toy_services import asked, service

RIGHT = [
    "logs, IPS", "logs, SNIPS", "logs, DR", "A/B", "A/B, CUPED", "clusters, robust", "clusters, means", "interleaving",
    "opt-in, matching, seen", "opt-in, IPW, seen", "opt-in, AIPW, seen", "opt-in, double ML, seen",
    "rollout, group-time",
]  # fmt: skip
BIASED = [
    "logs, naive", "logs, item means", "opt-in, naive", "opt-in, matching, proxy", "opt-in, AIPW, proxy",
    "opt-in, AIPW, unseen", "opt-in, double ML, unseen", "rollout, before/after",
]  # fmt: skip


def refuse_bias_and_wrong_coverage(found: pd.DataFrame, replications: int) -> None:
    """Beyond three Monte Carlo errors."""
    right = found.loc[RIGHT]
    far = right["bias"].abs() > 3 * right["bias_error"]
    assert not far.any(), right[far]
    missed = (right["coverage"] - 0.95).abs() > 3 * np.sqrt(0.95 * 0.05 / replications)
    assert not missed.any(), right[missed]


def refuse_right_looks(found: pd.DataFrame) -> None:
    """A wrong method is seen to be wrong: its bias is beyond its error, and it does not cover."""
    wrong = found.loc[[name for name in BIASED if name in found.index]]
    assert (wrong["bias"].abs() > 4 * wrong["bias_error"]).all(), wrong
    assert (wrong["coverage"] < 0.85).all(), wrong


@pytest.mark.slow
def test_right_methods_are_right_and_wrong_ones_are_not() -> None:
    found = asked(service(users=500, enthusiasm=0.8, region_effect=0.4), 60)
    refuse_bias_and_wrong_coverage(found, 60)
    refuse_right_looks(found.drop("logs, naive"))  # whose bias is small in this world
    assert found.loc["A/B, CUPED", "sd"] < found.loc["A/B", "sd"]
    assert found.loc["clusters, as if users", "coverage"] < 0.93
    assert found["names"].between(0, 1).all()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_right_methods_are_right_over_thousands_of_replications() -> None:
    found = asked(service(users=2000, days=14, before=14, places=5, candidates=12, base_users=200, regions=40), 2000)
    refuse_bias_and_wrong_coverage(found, 2000)
    refuse_right_looks(found)


def test_a_against_a_is_found_to_differ_as_often_as_it_should() -> None:
    """Where both rankers are the same, so are lists and clicks; the assignment alone makes the difference."""
    count = 150
    made = service(users=200, noise_a=0.0, noise_b=0.0, trend=0.0, day_effect=0.0)
    found = asked(made, count, ["ab", "cluster_ab", "interleave"])
    same = found.drop("clusters, as if users")  # rejects more often than it should, as the next line says
    assert ((same["rejects"] - 0.05).abs() <= 3 * np.sqrt(0.05 * 0.95 / count)).all(), same["rejects"]
    assert found["truth"].abs().max() < 1e-12
    logs = asked(made, 5, ["off_policy", "offline"])
    assert (logs["mean"] == 0).all()
    assert (logs["rejects"] == 0).all()
