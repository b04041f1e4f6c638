"""Planned looks: which were taken, what is refused, and what their bounds say."""

import numpy as np
import pytest

from ncf.errors import DataError
from ncf.online import sequential
from ncf.online.looking import judged, looks_taken

PLANNED = (7, 14, 21, 28)


def test_the_days_of_the_data_say_which_look_this_is() -> None:
    assert looks_taken(PLANNED, "obrien_fleming", 14, None) == [7, 14]
    assert looks_taken(PLANNED, "pocock", 28, None) == [7, 14, 21, 28]
    assert looks_taken(PLANNED, "obrien_fleming", None, 3) == [7, 14, 21]
    assert looks_taken(PLANNED, "obrien_fleming_spending", 10, None) == [7, 10]
    assert looks_taken(PLANNED, "pocock_spending", 10, [3, 5]) == [3, 5, 10]


@pytest.mark.parametrize(
    ("kind", "days", "given", "says"),
    [
        ("obrien_fleming", 35, None, "more looks than planned"),
        ("obrien_fleming_spending", 35, None, "more looks than planned"),
        ("pocock", None, 5, "at most the 4 planned looks, got look 5"),
        ("pocock", None, None, "the number of this look"),
        ("obrien_fleming", 10, None, "the data have 10 days, and looks were planned after 7, 14, 21, 28"),
        ("obrien_fleming", 14, 2, "expected none"),
        ("pocock_spending", 10, [12], "days from 1 to 10"),
    ],
)
def test_refusals(kind, days, given, says) -> None:
    with pytest.raises(DataError) as error:
        looks_taken(PLANNED, kind, days, given)
    assert says in str(error.value)


def test_before_at_and_after_a_bound() -> None:
    limits = sequential.bounds(4)
    go_on = judged(PLANNED, PLANNED[:2], "obrien_fleming", 0.05, lambda look: (limits[0], 2.0))
    assert not go_on.ended
    assert go_on.bounds == pytest.approx(limits)
    assert go_on.outcome.low < limits[0] < go_on.outcome.high
    crossed = judged(PLANNED, PLANNED[:2], "obrien_fleming", 0.05, lambda look: (3.0, 1.0))
    assert crossed.outcome.stopped
    assert crossed.outcome.look == 2
    assert crossed.outcome.p is not None
    assert crossed.outcome.p < 0.05
    last = judged(PLANNED, PLANNED, "obrien_fleming", 0.05, lambda look: (0.1, 1.0))
    assert last.ended
    assert not last.outcome.stopped


def test_a_look_at_which_nothing_has_varied() -> None:
    found = judged(PLANNED, PLANNED[:2], "pocock", 0.05, lambda look: (0.0, 0.0) if look == 7 else (1.0, 1.0))
    assert found.z == (0.0, 1.0)


def test_without_days_earlier_looks_are_unknown() -> None:
    found = judged(PLANNED, PLANNED[:3], "pocock", 0.05, lambda look: (5.0, 1.0), known=False)
    assert found.z == (None, None, 5.0)
    assert found.outcome.stopped
    assert found.outcome.look == 3  # they are taken not to have crossed


def test_spending_looks_at_other_times_spend_alpha_once() -> None:
    found = judged(PLANNED, [3, 10], "obrien_fleming_spending", 0.05, lambda look: (0.0, 1.0))
    assert found.planned == (3, 10, 28)
    limits = np.array([np.nan if bound is None else bound for bound in found.bounds])
    total = sequential.crossing(limits, np.array(found.planned) / 28).total
    assert total == pytest.approx(0.05, abs=1e-6)
