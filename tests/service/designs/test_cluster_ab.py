"""The clustered A/B test: whole regions are assigned, and regions of one user are none."""

import pytest
from toy_services import design, service

from ncf.errors import ConfigError
from ncf.service import Sample


def test_three_methods_share_one_assignment_of_whole_regions() -> None:
    (answers,) = design("cluster_ab").answers(Sample(service(), range(1)))
    values = [answer.estimate.value for answer in answers]
    assert values[0] == pytest.approx(values[1])
    assert values[1] == pytest.approx(values[2])  # regions are of one size
    assert answers[0].estimate.n == answers[1].estimate.n == 400
    assert answers[1].estimate.degrees == answers[2].estimate.degrees == 18


def test_too_few_regions_or_regions_of_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^design\.cluster_ab\.share: expected .* at least 2 regions .* of 3, got"):
        design("cluster_ab").check(service(regions=3))
    with pytest.raises(ConfigError, match=r"regions of several users, got one of each; use design=ab$"):
        design("cluster_ab").check(service(regions=400))
