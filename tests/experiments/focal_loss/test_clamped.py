"""Which clamped runs never learned, and that the report says so beside the effect among the others."""

import pandas as pd
import pytest
from made_up import with_companions

from experiments.focal_loss.clamped import SECTION, Change, changes, figure, learned, readme, table
from ncf.report.kit.prose import Prose, line
from ncf.report.study import Study


def said(study: Study) -> str:
    """What the section adds to the README."""
    return Prose(study).macro(SECTION.prose, "readme", readme(study))


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
    found = learned(with_companions(study, curves=epochs("a", metric, loss)), pd.Series({42: "a"}))
    assert (None if found is None else found[42]) == expected


def test_without_the_epochs_of_a_run_nothing_is_said_of_it(study: Study) -> None:
    runs = pd.Series({42: "a", 43: "b"})
    assert learned(with_companions(study, curves=pd.DataFrame()), runs) is None
    assert learned(with_companions(study, curves=epochs("a", [1, 2], [1, 2])), runs) is None


def test_without_the_epochs_the_readme_counts_no_dead(quick: Study) -> None:
    text = said(with_companions(quick, curves=pd.DataFrame()))
    assert "- focal (γ 2, α 0.25) at 1:4: 0.0" in text
    assert "never learned" not in text


def clamped_change(study: Study, ratio: int) -> Change:
    return next(c for c in changes(study, [study.primary]) if c.ratio == ratio and "gamma" in c.right)


@pytest.mark.parametrize("ratio", [4, 10, 50])
def test_the_others_are_compared_with_the_same_seeds_as_defined(quick: Study, ratio: int) -> None:
    change = clamped_change(quick, ratio)
    assert change.learned is not None
    assert (change.dead, change.every.seeds) == (3, 5)
    rows = quick.runs[(quick.runs["neg_ratio"] == ratio) & quick.runs["seed"].isin(change.learned.index)]
    rows = rows[(rows["gamma"] == 2.0) & (rows["alpha"] == 0.25)]
    focal, clamped = (rows[rows["loss"] == loss][quick.primary] for loss in ("focal", "focal_clamped"))
    assert len(focal) == len(clamped) == 2
    assert change.others == f"{clamped.mean():.4f} against {focal.mean():.4f}, {clamped.mean() / focal.mean() - 1:+.1%}"


def test_where_none_learned_there_are_no_others(quick: Study) -> None:
    curves = quick.companions["curves"].assign(**{"ndcg@10": 0.002, "train_loss": 0.8})
    lines = [text for text in said(with_companions(quick, curves=curves)).splitlines() if text.startswith("- ")]
    assert len(lines) == 6
    assert all("5 of 5 runs never learned; all 5: " in text for text in lines)


def test_too_few_seeds_are_left_out_and_the_readme_says_what_runs_them(quick: Study) -> None:
    none = Study(quick.registration, quick.runs[quick.runs["seed"] < 44], quick.protocol, quick.companions)
    assert list(changes(none, [quick.primary])) == []
    assert "Not run yet: the published code's loss on clamped logits; this command runs it: `python -m" in said(none)


def test_figure_and_table_name_the_losses_and_the_smallest_p(quick: Study) -> None:
    words = Prose(quick)
    caption = line(words.macro(SECTION.prose, "clamped_caption", figure(quick).facts))
    assert caption.startswith("α-BCE (α 0.25) and focal (γ 2, α 0.25): the published code took them on logits clamped")
    note = line(words.macro(SECTION.prose, "clamped_note", table(quick).facts))
    assert "5 pairs cannot give less than 0.062. Dead:" in note
