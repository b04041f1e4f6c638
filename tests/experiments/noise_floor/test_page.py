"""The page: the same files give the same bytes, its answer follows the numbers, and what is committed is up to date."""

import json
from pathlib import Path

import pandas as pd
import pytest

from experiments.noise_floor import page, runs
from experiments.noise_floor.analysis import floors
from experiments.noise_floor.diagnosis import FIRST, GROWTH, VARIANTS
from ncf.study.verdict import verdict


@pytest.mark.slow
def test_the_committed_page_is_what_the_committed_files_give(tmp_path: Path) -> None:
    page.write(tmp_path)
    for made in tmp_path.rglob("*.*"):
        assert made.read_bytes() == (runs.HERE / made.relative_to(tmp_path)).read_bytes(), made.name


def test_the_answer_follows_the_numbers() -> None:
    results = runs.table()
    equal = results.copy()
    bce, half = equal["loss"] == "bce", equal["loss"] == "focal"
    for metric in runs.METRICS:
        own = dict(zip(equal.loc[bce, "seed"], equal.loc[bce, metric]))
        equal.loc[half, metric] = [own[seed] * (1.1 + 1e-4 * n) for n, seed in enumerate(equal.loc[half, "seed"])]
    said = page.answer(floors(equal), verdict(runs.registration(), equal))
    assert "differ by 10." in said
    assert "better in NDCG@10 and better in HR@10" in said
    assert "It is worth having" in said


def test_what_undoes_the_pairing_is_read_from_the_diagnosis() -> None:
    diagnosis, grown = json.loads(FIRST.read_text()), pd.read_csv(GROWTH)
    grown.loc[grown["variant"] == VARIANTS[1], "weights"] = 0.0
    assert "equal to the bit for all" in page.undone(diagnosis, grown)
    grown.loc[grown["variant"] == VARIANTS[1], "weights"] = 0.25
    assert "they are 25% apart" in page.undone(diagnosis, grown)
