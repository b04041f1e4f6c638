"""Waves of a rollout, and its truth by hand."""

import pytest
from toy_services import asked, design, service

from ncf.errors import ConfigError
from ncf.service import Sample
from ncf.service.designs.rollout import Rollout


def test_waves_start_evenly_and_the_truth_is_the_mean_over_days_with_b() -> None:
    own = design("rollout", waves=2)
    assert isinstance(own, Rollout)
    assert own.starts(6) == [2, 4]
    made = service(learning=0.4)
    answers = next(own.answers(Sample(made, range(1))))
    assert answers[0].truth == pytest.approx(made.effect_of([2, 4], [134, 133]), rel=1e-3)
    assert answers[0].cost.shown_b < answers[0].cost.sessions / 2


def test_fewer_days_than_waves_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^design\.rollout\.waves: expected fewer waves than days=3, .*, got 3$"):
        design("rollout", waves=3).check(service(days=3))
    design("rollout", waves=3).check(service(days=4))
    with pytest.raises(ConfigError, match=r"^design\.rollout\.waves: expected groups of at least 2 of 80 users"):
        design("rollout", waves=40).check(service(days=50, users=80))


def test_growing_effects_mislead_two_way_fixed_effects_and_not_group_time() -> None:
    made = service(users=600, days=9, learning=1.5, half_life=3.0, trend=0.0, highest=0.25)
    found = asked(made, 60, ["rollout"])
    bias, error = found["bias"], found["bias_error"]
    assert abs(bias["rollout, group-time"]) <= 3 * error["rollout, group-time"]
    assert bias["rollout, two-way fixed effects"] < -4 * error["rollout, two-way fixed effects"]
