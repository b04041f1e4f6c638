"""The page from made-up counts: a helped tier is found, another is not, and the same rows give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import compose

from experiments.imbalance import page
from experiments.imbalance.arms import ARMS, BASELINE, RULES
from ncf.runs.plan import plan_run
from ncf.stats.crossed import crossed_mean

ENTITIES = {"user": 60, "item": 90}
SEEDS = 8


def text(values: np.ndarray) -> str:
    return " ".join(map(str, values.tolist()))


def made_up(folder: Path, helped: str) -> None:
    """Counts of every arm and seed; the arm `helped` hits more of the niche items."""
    rng = np.random.default_rng(0)
    tiers = {by: np.arange(n) % 3 for by, n in ENTITIES.items()}
    relevant = {by: rng.integers(3, 9, n) for by, n in ENTITIES.items()}
    rate = {by: rng.uniform(0.2, 0.5, n) for by, n in ENTITIES.items()}
    counts, results = [], []
    for arm in ARMS:
        for seed in range(SEEDS):
            results.append({"arm": arm, "seed": seed, "commit": "c" * 40})
            for rule in RULES:
                for by in ENTITIES:
                    more = 0.4 * ((tiers[by] == 0) & (by == "item")) if arm == helped else 0.0
                    hits = rng.binomial(relevant[by], np.clip(rate[by] + more, 0, 1))
                    predicted = hits + 4
                    counts.append({"arm": arm, "seed": seed, "rule": rule, "by": by, "hits": text(hits),
                                   "predicted": text(predicted)})  # fmt: skip
    pd.DataFrame(results).to_csv(folder / "results.csv", index=False)
    pd.DataFrame(counts).to_csv(folder / "counts.csv.gz", index=False)
    rows = [{"by": by, "relevant": text(relevant[by]), "tier": text(tiers[by])} for by in ENTITIES]
    pd.DataFrame(rows).to_csv(folder / "entities.csv.gz", index=False)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_a_plan_on_one_split(arm: str) -> None:
    plan = plan_run(compose(*ARMS[arm].overrides(3)))
    assert (plan.settings["split"]["seed"], plan.settings["seed"]) == (0, 3)


@pytest.mark.parametrize(("helped", "said"), [("focal", "**Yes.**"), ("weighted", "**Not shown.**")])
def test_who_is_helped_is_found(tmp_path: Path, helped: str, said: str) -> None:
    made_up(tmp_path, helped)
    study = page.read(tmp_path)
    found = {(each.arm.name, *each.key, each.tier): each for each in page.differences(study)}
    assert found[helped, "top_n", "item", "niche"].finding == "better"
    assert {each.finding for key, each in found.items() if key[0] != helped} == {"undecided"}
    niche = found[helped, "top_n", "item", "niche"]
    values = [study.values(arm, ("top_n", "item"), "f1", 0) for arm in (helped, BASELINE)]
    assert values[0].shape == (SEEDS, 30)
    assert niche.mean == crossed_mean(values[0] - values[1])
    assert niche.baseline == pytest.approx(values[1].mean())
    assert said in page.answer(study)
    assert ARMS[helped].title in page.answer(study)


def test_the_page_has_the_same_bytes_again(tmp_path: Path) -> None:
    made_up(tmp_path, "focal")
    page.write(tmp_path)
    before = (tmp_path / "README.md").read_bytes()
    assert b"<!-- answer" not in before
    page.write(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == before


def test_only_seeds_that_every_arm_has_are_compared(tmp_path: Path) -> None:
    made_up(tmp_path, "focal")
    results = pd.read_csv(tmp_path / "results.csv")
    results[~((results["arm"] == "weighted") & (results["seed"] == 3))].to_csv(tmp_path / "results.csv", index=False)
    study = page.read(tmp_path)
    assert study.seeds == [0, 1, 2, 4, 5, 6, 7]
    assert study.values(BASELINE, ("top_n", "user"), "f1").shape == (7, 60)
