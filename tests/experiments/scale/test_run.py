"""What the measurements of scale come to."""

import pytest

from experiments.scale import run


def test_repeats_are_summed_up_by_median_and_quartiles() -> None:
    found = run.summary({"rows": 10, "seconds": [3.0, 1.0, 2.0]})
    assert found == {"rows": 10, "seconds": [3.0, 1.0, 2.0], "median": 2.0, "quartiles": [1.0, 3.0]}


def test_a_tenfold_catalogue_is_compared_with_the_one_before() -> None:
    sides = [
        {"rows": rows, "optimizer": name, "median": seconds}
        for name, times in {"adam": (1.0, 9.0, 99.0), "row_adam": (2.0, 2.0, 3.0)}.items()
        for rows, seconds in zip(run.ROWS, times, strict=True)
    ]
    assert run.tenfold(sides, "adam") == {"100000": 9.0, "1000000": 11.0}
    assert run.tenfold(sides, "row_adam") == {"100000": 1.0, "1000000": 1.5}


def test_the_worlds_have_as_many_interactions_a_user_as_movielens_20m(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(run, "measure", lambda name, **arguments: asked.append(arguments) or {})
    for count in run.INTERACTIONS:
        run.interactions(count)
    assert asked[-1]["users"] == run.USERS
    assert [world["interactions"] / world["users"] for world in asked] == pytest.approx([144.4] * 3, rel=1e-3)
