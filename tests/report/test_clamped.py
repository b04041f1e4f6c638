"""Which clamped runs never learned, and that the report says so beside the effect among the others."""

import re
from pathlib import Path

import pandas as pd
import pytest
from made_up import NEVER_LEARN

from ncf.report import page
from ncf.report.clamped import Change, changes, learned
from ncf.report.sentences import mistake
from ncf.report.study import Study


def with_curves(study: Study, curves: pd.DataFrame) -> Study:
    return Study(study.registration, study.runs, study.protocol, study.companions | {"curves": curves})


def epochs(run: str, metric: list[float], loss: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"run": run, "epoch": range(1, len(loss) + 1), "ndcg@10": metric, "train_loss": loss})


@pytest.mark.parametrize(
    ("metric", "loss", "expected"),
    [
        ([0.002, 0.002, 0.002], [0.8, 0.8, 0.8], False),
        ([0.002, 0.002, 0.003], [0.8, 0.8, 0.8], True),
        ([0.002, 0.002, 0.002], [0.8, 0.8, 0.7], True),  # weights moved, even if no rank did
        ([0.002], [0.8], None),  # one epoch cannot tell
    ],
)
def test_a_run_never_learned_if_metric_and_loss_stay_the_same(
    study: Study, metric: list[float], loss: list[float], expected: bool | None
) -> None:
    found = learned(with_curves(study, epochs("a", metric, loss)), pd.Series({42: "a"}))
    assert (None if found is None else found[42]) == expected


def test_without_the_epochs_of_a_run_nothing_is_said_of_it(study: Study) -> None:
    runs = pd.Series({42: "a", 43: "b"})
    assert learned(with_curves(study, pd.DataFrame()), runs) is None
    assert learned(with_curves(study, epochs("a", [1, 2], [1, 2])), runs) is None
    assert all("never learned" not in line for line in mistake(with_curves(study, pd.DataFrame())))


def clamped_change(study: Study, ratio: int) -> Change:
    return next(c for c in changes(study) if c.ratio == ratio and c.metric == study.primary and "gamma" in c.right)


@pytest.mark.parametrize("ratio", [4, 10, 50])
def test_the_others_are_compared_with_the_same_seeds_as_defined(study: Study, ratio: int) -> None:
    change = clamped_change(study, ratio)
    rows = study.runs[(study.runs["neg_ratio"] == ratio) & study.runs["seed"].isin([43, 44, 46])]
    rows = rows[(rows["gamma"] == 2.0) & (rows["alpha"] == 0.25)]
    focal, clamped = (rows[rows["loss"] == loss][study.primary] for loss in ("focal", "focal_clamped"))
    assert len(focal) == len(clamped) == 3
    assert change.dead == len(NEVER_LEARN)
    said = f"{clamped.mean():.4f} against {focal.mean():.4f}, {clamped.mean() / focal.mean() - 1:+.1%}"
    assert change.others == said


def test_the_readme_and_the_table_count_the_dead(study: Study, reported: Path) -> None:
    others = re.escape(clamped_change(study, 4).others)
    line = (
        rf"- focal \(γ 2, α 0\.25\) at 1:4: 2 of 5 runs never learned; the other 3: {others}; all 5: 0\.\d{{4}} against"
    )
    assert re.search(line, (reported / page.README).read_text())
    assert re.search(rf"\| 1:4 \| focal .* \| 2 \| {others} \|", (reported / "tables" / "clamped.md").read_text())


def test_where_none_learned_there_are_no_others(study: Study) -> None:
    curves = study.companions["curves"].assign(**{"ndcg@10": 0.002, "train_loss": 0.8})
    lines = mistake(with_curves(study, curves))
    assert lines
    assert all("5 of 5 runs never learned; all 5: " in line for line in lines)
