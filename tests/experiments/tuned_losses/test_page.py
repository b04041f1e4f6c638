"""The page shows no value before all blocks are there, and then what the rows say."""

import re
from pathlib import Path

import pytest
from made_rows import made_rows

from experiments.tuned_losses import analysis, page, planning, table
from experiments.tuned_losses.design import load

DESIGN = load().model_copy(update={"blocks": 5, "draws": 2})


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "load", lambda: DESIGN)
    monkeypatch.setattr(planning, "_DRAWS", 200)


def written(folder: Path, blocks: int, effect: float = 0.0) -> str:
    """The page of made-up rows of so many blocks."""
    for row in made_rows(DESIGN, effect, blocks=blocks):
        path = folder / "runs" / f"block-{row.block:02d}.csv"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(table.HEADER)
        with path.open("a") as file:
            values = {**vars(row), "registration": DESIGN.sha256[:8]}
            file.write(",".join("" if v is None else str(v) for v in values.values()) + "\n")
    page.write(folder, folder / "runs")
    return (folder / "README.md").read_text()


@pytest.mark.parametrize("blocks", [0, DESIGN.blocks - 1])
def test_before_the_end_only_progress_is_shown(tmp_path: Path, blocks: int) -> None:
    (tmp_path / "runs").mkdir()
    first, other = written(tmp_path, blocks, 0.3), None
    assert f"**{blocks} of {DESIGN.blocks} blocks are finished.**" in first
    assert not re.search(r"tuned: it (helps|harms)|P\(above|registered tests\b.*\n\n\|", first)
    for path in (tmp_path / "runs").iterdir():
        path.unlink()
    other = written(tmp_path, blocks, -0.3)
    assert first == other  # whatever the values are
    assert not (tmp_path / "figures").exists()


def test_at_the_end_it_says_what_the_rule_says(tmp_path: Path) -> None:
    text = written(tmp_path, DESIGN.blocks, 0.5)
    decided = analysis.decide(analysis.block_values(table.read(tmp_path / "runs"), DESIGN, "ndcg@10"), DESIGN)
    assert [d.decision for d in decided] == ["helps", "helps"]
    for d in decided:
        assert f"it helps: {d.result.relative:+.1%} [{d.result.low:+.1%}, {d.result.high:+.1%}] in NDCG@10" in text
        assert f"{d.p:.3g}" in text
    for name in ("blocks", "budget", "gamma"):
        assert (tmp_path / "figures" / f"{name}.svg").exists()
        assert f"figures/{name}.png" in text
    page.write(tmp_path, tmp_path / "runs")
    assert (tmp_path / "README.md").read_text() == text
