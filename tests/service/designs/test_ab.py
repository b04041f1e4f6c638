"""The A/B test by hand: who is treated, and what the estimate is made of."""

import pytest
from toy_services import design, service

from ncf.errors import ConfigError
from ncf.service import Sample
from ncf.service.designs.ab import ORDER
from ncf.service.designs.base import chosen


def test_the_estimate_is_the_difference_of_clicks_a_session_of_the_assigned() -> None:
    sample = Sample(service(), range(2))
    answers = list(design("ab", share=0.25).answers(sample))
    for r, (plain, adjusted) in enumerate(answers):
        treated = chosen(sample.order(ORDER), 0.25)[r]
        assert int(treated.sum()) == 100
        sessions = sample.counts[r, :, 1:].sum(1).double()
        clicks = [c[r, :, 1:].sum(1) for c in (sample.clicks_a, sample.clicks_b)]
        of_b = clicks[1][treated].sum() / sessions[treated].sum()
        of_a = clicks[0][~treated].sum() / sessions[~treated].sum()
        assert plain.estimate.value == pytest.approx(float(of_b - of_a))
        assert plain.truth == adjusted.truth == sample.service.effect
        assert plain.cost == (float(sessions.sum()), float(sessions[treated].sum()))


def test_without_days_before_there_is_nothing_to_adjust_by() -> None:
    (answers,) = design("ab").answers(Sample(service(before=0), range(1)))
    assert [answer.method for answer in answers] == ["A/B"]


def test_an_arm_of_one_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^design\.ab\.share: expected a share .* at least 2 users .* of 400, got 0\.001$"
    ):
        design("ab", share=0.001).check(service())
