"""The measurements of scale measure a run as it is made."""

from pathlib import Path

import pytest

from experiments.scale import measure


def test_a_step_is_timed_on_every_size_with_every_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SETTLE", 2)
    monkeypatch.setattr(measure, "STEPS", {"adam": 1, "row_adam": 1})
    found = measure.catalogue(rows=[40, 80], repeats=3)
    sides = [(side["rows"], side["optimizer"]) for side in found]
    assert sides == [(40, "adam"), (40, "row_adam"), (80, "adam"), (80, "row_adam")]
    assert all(len(side["seconds"]) == 3 and min(side["seconds"]) > 0 for side in found)


def test_a_run_is_timed_from_its_data_to_its_ranks(root: Path) -> None:
    found = measure.pipeline(users=60, items=80, interactions=1500, steps=4, evaluated=20, root=str(root))
    assert list(found["seconds"]) == ["generate", "split", "build", "train", "flush", "rank"]
    assert list(found["peak_bytes"]) == ["imports", *found["seconds"]]
    assert found["peak_bytes"]["rank"] >= found["peak_bytes"]["imports"] > 0
    assert found["dense_mask_bytes"] == 60 * 80
    assert found["sampler_bytes"] >= 8 * found["train_pairs"]
    assert found["step_seconds"] > 0
