"""Fault 14: a user with every item; users with one or two positives; an item seen only in test."""

from pathlib import Path

import pytest
from toys import compose, small

from ncf.errors import DataError
from ncf.runs import artifacts
from ncf.train import train

Row = tuple[str, str, int]
CROWD: list[Row] = [(f"u{u}", f"i{i}", 10 * u + i) for u in range(20) for i in range(12) if (u + i) % 3]


def trained(rows: list[Row], tmp_path: Path, *overrides: str) -> tuple[dict, list[str]]:
    """The result of a run on these rows of (user, item, time), and the lines of its ranks."""
    file, folder = tmp_path / "in.csv", tmp_path / "run"
    folder.mkdir()
    file.write_text("user_id,item_id,rating,timestamp\n" + "".join(f"{u},{i},5,{t}\n" for u, i, t in rows))
    own = [o for o in small(tmp_path / "root") if not o.startswith("data")]
    where = "data=csv", f"data.archive='{file}'", f"data.root='{tmp_path / 'root'}'"
    cutoffs = "evaluation.cutoffs=[5,10]", "trainer.epochs=1"
    result = train(compose(*where, *own, *cutoffs, *overrides), folder)
    assert result is not None
    return result, (folder / artifacts.RANKS).read_text().splitlines()[1:]


@pytest.mark.parametrize("sampler", ["uniform", "popularity"])
def test_a_user_with_every_item_is_named_before_training(tmp_path: Path, sampler: str) -> None:
    everything = [("all", f"i{i}", 1000 + i) for i in range(12)]
    with pytest.raises(DataError, match="user all has all 12 items as positives"):
        trained([*CROWD, *everything], tmp_path, f"sampler={sampler}")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_user_whose_other_items_nobody_has_in_train_is_an_error_under_popularity(tmp_path: Path) -> None:
    """What is left to draw is held out wherever it occurs, so that its frequency in training is 0."""
    everything = [("all", f"i{i}", 1000 + i) for i in range(12)]
    with pytest.raises(DataError, match=r"user all has all items that the sampler draws .*; sampler=uniform"):
        trained(
            [*CROWD, ("u0", "late", 10_000), *everything, ("all", "x", 10_001), ("all", "y", 10_002)], tmp_path,
            "sampler=popularity",
        )  # fmt: skip


def test_a_user_with_one_positive_trains_and_is_not_evaluated(tmp_path: Path) -> None:
    _, ranks = trained([*CROWD, ("single", "i3", 5)], tmp_path)
    assert not [line for line in ranks if ",single," in line]
    assert len([line for line in ranks if line.startswith("test,")]) == 20


def test_a_user_with_two_positives_is_tested_and_not_validated(tmp_path: Path) -> None:
    _, ranks = trained([*CROWD, ("pair", "i3", 5), ("pair", "i4", 6)], tmp_path)
    lines = [line for line in ranks if ",pair," in line]
    assert [line.split(",")[:3] for line in lines] == [["test", "pair", "i4"]]


def test_an_item_seen_only_in_test_is_ranked_like_any_other(tmp_path: Path) -> None:
    result, ranks = trained([*CROWD, ("u0", "new", 10_000)], tmp_path)
    (line,) = [line for line in ranks if line.startswith("test,u0,new,")]
    rank, candidates = float(line.split(",")[3]), int(line.split(",")[4])
    assert 1 <= rank <= candidates
    assert result["test"]["hit@10"] <= 1


def test_nobody_with_enough_positives_to_be_evaluated_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected at least one positive to evaluate"):
        trained([(f"u{u}", f"i{u % 12}", u) for u in range(40)], tmp_path)
