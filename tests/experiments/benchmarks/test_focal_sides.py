"""The sides of the focal comparison compute one loss."""

import pytest

from experiments.benchmarks.focal_sides import FocalSide


def test_the_focal_sides_compute_the_same_loss_and_the_kernel_holds_less() -> None:
    answers = []
    for name in ("ncf", "formula"):
        focal = FocalSide(name)
        answers.append(focal.prepare(logits=10**4, compiled=False, device="cpu") | focal.peak())
        assert focal.run(repeats=1)["seconds"] > 0
    ours, formula = answers
    assert ours["logits"] == formula["logits"] == 9999
    assert ours["loss"] == pytest.approx(formula["loss"], rel=1e-5)
    assert 0 < ours["peak_bytes"] <= formula["peak_bytes"] / 2
