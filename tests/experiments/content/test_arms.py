"""The registration is what is run: every point is a plan, and no positive is chosen by and tested on."""

import pytest

from experiments.content.arms import Arm, arms, blocks, registered, shared
from ncf.core.compose import compose
from ncf.runs.identity import resolved


@pytest.mark.parametrize("name", [name for name, arm in arms().items() if not arm.constant and not arm.parts])
def test_every_arm_is_a_configuration_in_its_first_block(name: str) -> None:
    arm = arms()[name]
    own = arm.settings or arms()[str(arm.after)].settings
    cfg = resolved(compose([*shared(arm.split, blocks(arm.split)[0]), *own, *arm.points[-1]]))
    assert cfg["split"]["name"] == arm.split
    assert cfg["registration"].endswith("experiments/content/registration.yaml")


def test_arms_come_after_those_that_they_build_on() -> None:
    order = list(arms())
    for place, arm in enumerate(arms().values()):
        assert all(order.index(name) < place for name in [*arm.parts, *([arm.after] if arm.after else [])])


def test_no_positive_chooses_in_one_block_and_tests_in_another() -> None:
    tested = set(blocks("leave_one_out"))  # so many of a user's positives are later than the test one
    assert not tested & {back + 1 for back in tested}
    assert min(tested) >= 2  # those before were looked at when the models were written


def test_both_arms_of_a_comparison_are_of_one_split() -> None:
    for one in registered()["comparisons"]:
        treatment, baseline = arms()[one["treatment"]], arms()[one["baseline"]]
        assert treatment.split == baseline.split
        assert one["error"] in ("users", "both")
    assert len(registered()["comparisons"]) == 11


def test_a_grid_is_every_combination_in_order() -> None:
    arm = Arm("a", "leave_one_out", grid={"x": [1, 2], "y": [3.0]})
    assert arm.points == [["x=1", "y=3.0"], ["x=2", "y=3.0"]]
    assert Arm("a", "leave_one_out").points == [[]]
