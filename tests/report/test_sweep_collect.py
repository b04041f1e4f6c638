"""What the head of a sweep's page says of its runs."""

import os
from pathlib import Path

import pytest
from made_up_sweep import made, runs

from ncf.report.sweep_collect import _days, about


def test_the_head_names_what_is_known() -> None:
    facts = {"settings": {"data.name": "ml-100k"}, "finished": "2026-11-25 to 2026-11-26", "sweep": "mine"}
    table = runs(seeds=1)
    assert about(table, facts) == ("Data ml-100k; model neumf; 5 epochs; runs finished 2026-11-25 to 2026-11-26.")
    two = table.assign(model=["gmf", "mlp", "mlp", "gmf"], epochs=[3, 1, 20, 4])
    assert about(two, {}) == "Models gmf, mlp; 1 to 20 epochs."
    assert about(table.assign(epochs=1), {}) == "Model neumf; 1 epoch."
    assert made(table).title == "4 runs, 4 arms"


@pytest.mark.parametrize(
    ("times", "days"), [((0, 86399), "1970-01-01"), ((86400, 5, 200000), "1970-01-01 to 1970-01-03")]
)
def test_days_are_those_of_the_first_and_the_last_result(tmp_path: Path, times: tuple[int, ...], days: str) -> None:
    folders = [tmp_path / str(n) for n in range(len(times))]
    for folder, time in zip(folders, times, strict=True):
        folder.mkdir()
        (folder / "result.json").touch()
        os.utime(folder / "result.json", (time, time))
    assert _days(folders) == days
