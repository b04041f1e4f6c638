"""Names and numbers as readers see them."""

from dataclasses import replace

import pandas as pd
import pytest
from made_up import registration

from ncf.report.kit.naming import (
    arm_labels,
    at_ratios,
    contrast_name,
    label,
    listed,
    mean_sd,
    metric_name,
    number_text,
    numbers,
    p_value,
    percent,
    percent_ends,
    percents,
    row_name,
    seeds_text,
    setting_text,
)  # fmt: skip
from ncf.stats.intervals import Interval


def test_arms_are_named_by_their_loss_and_its_settings() -> None:
    assert list(arm_labels(registration()).values()) == [
        "focal (γ 2, α 0.25)", "BCE", "α-BCE (α 0.25)", "α-BCE (α balanced)", "focal (γ 2, α balanced)",
    ]  # fmt: skip
    assert label({"loss": "mine", "gamma": 0.5}) == "mine (γ 0.5)"
    assert label({"model": "gmf"}) == "gmf"


def test_arms_with_one_loss_are_told_apart_by_their_registered_names() -> None:
    arms = {"wide": {"model": "gmf", "loss": "bce"}, "deep": {"model": "mlp", "loss": "bce"}}
    plan = registration().model_copy(update={"arms": arms})
    assert arm_labels(plan) == {"wide": "wide", "deep": "deep"}
    assert contrast_name(plan, "wide", "deep") == "wide vs deep"


def test_comparisons_are_named_by_their_losses_ratio_and_metric() -> None:
    plan = registration()
    assert contrast_name(plan, "focal", "alpha_bce") == "focal vs α-BCE"
    assert contrast_name(plan, "focal_balanced", "alpha_bce_balanced") == "focal vs α-BCE, balanced α"
    names = [row_name(plan, compared) for compared in plan.hypotheses["H2"].comparisons()]
    assert names[1] == "focal vs BCE, 1:4, HR@10"
    assert names[-2] == "focal vs BCE, growth 1:4 to 1:50, NDCG@10"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (metric_name("test/ndcg@10"), "test NDCG@10"),
        (metric_name("mrr"), "MRR"),
        (metric_name("valid/coverage@5"), "valid coverage@5"),
        (listed(["A"]), "A"),
        (listed(["A", "B", "C"]), "A, B and C"),
        (at_ratios({4: 30, 10: 36}), "30 at 1:4, 36 at 1:10"),
        (at_ratios({4: 30}, "seeds"), "30 seeds at 1:4"),
        (percent(0.0576), "6%"),
        (percent(0.0576, 1), "5.8%"),
        (p_value(0.0239), "0.024"),
        (p_value(0.000023), "2e-05"),
        (p_value(0.0), "<1e-300"),
        (number_text(1000.3, 3), "1,000"),
        (number_text(999.7, 3), "1,000"),
        (number_text(14020.0, 4), "14,020"),
        (number_text(0.012345, 3), "0.0123"),
        (mean_sd(pd.Series([0.1, 0.3])), "0.2000 ± 0.1414"),
        (mean_sd(pd.Series([0.1])), "0.1000"),
        (seeds_text((42, 43, 44, 50, 52, 53)), "42 to 44, 50, 52 to 53"),
    ],
)
def test_words_and_numbers(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), (True, "true"), (64.0, "64"), (1048576, "1048576"), (1048576.0, "1048576"), (0.001, "0.001"),
     (0.00123456789, "0.00123456789"), ("[64, 32]", "[64, 32]")],
)  # fmt: skip
def test_a_setting_is_written_as_it_is_typed(value: object, text: str) -> None:
    assert setting_text(value) == text


def test_an_interval_that_is_withheld_gives_its_reason_in_its_place() -> None:
    shown = Interval(0.019, -0.02, 0.058, 0.95, "BCa")
    withheld = replace(shown, withheld="5 pairs: an interval needs at least 6")
    assert (percents(shown), numbers(shown)) == ("+1.9% [-2.0%, +5.8%]", "+0.02 [-0.02, +0.06]")
    assert (percents(withheld), numbers(withheld)) == ("+1.9% [not shown: 5 pairs]", "+0.02 [not shown: 5 pairs]")
    assert (percent_ends(shown), percent_ends(withheld)) == ("[-2.0%, +5.8%]", "[not shown: 5 pairs]")
    assert percent(float("inf")) == "none"
