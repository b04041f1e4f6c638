"""The gamma x alpha surface, and what its caption may claim."""

import numpy as np
import pytest

from experiments.focal_loss.grid import SECTION, alpha_ratio, heat_map, surface
from ncf.report.kit.prose import Prose, line
from ncf.report.study import Study


def test_a_cell_is_the_mean_of_its_seeds_beside_bce_on_the_same_seeds(study: Study) -> None:
    runs = study.runs[(study.runs["neg_ratio"] == 10) & study.runs["seed"].isin([42, 43, 44])]
    bce = runs[runs["loss"] == "bce"]["test/ndcg@10"].mean()
    cell = runs[(runs["loss"] == "focal") & (runs["gamma"] == 3.0) & (runs["alpha"] == 0.75)]["test/ndcg@10"].mean()
    found = surface(study, 10)
    assert found is not None
    means, change, level = found
    assert level == pytest.approx(bce)
    assert means[4, 2] == pytest.approx(cell)
    assert change[4, 2] == pytest.approx(cell / bce - 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer.name": "adam", "optimizer.weight_decay": 0.0}, True),
        ({"optimizer.name": "adam", "optimizer.weight_decay": 0.1}, False),  # then the scale of the loss matters
        ({}, False),
    ],
)
def test_half_of_bce_is_called_noise_only_where_the_scale_of_a_loss_does_not_matter(
    study: Study, settings: dict[str, object], said: bool
) -> None:
    other = Study(study.registration, study.runs, {"settings": settings}, study.companions)
    caption = line(Prose(other).macro(SECTION.prose, "heat_map_caption", heat_map(other).facts))
    assert ("shows the noise" in caption) == said
    assert "over the grid's seeds (3 at 1:4, 3 at 1:10, 3 at 1:50) and its change against BCE" in caption


def test_a_cell_that_lacks_a_seed_is_not_run(study: Study) -> None:
    lost = (study.runs["gamma"] == 3.0) & (study.runs["seed"] == 43) & (study.runs["neg_ratio"] == 10)
    found = surface(Study(study.registration, study.runs[~lost], {}, {}), 10)
    assert found is not None
    assert np.isnan(found[0][4]).all()
    assert not np.isnan(found[0][:4]).any()
    assert surface(Study(study.registration, study.runs[study.runs["seed"] != 43], {}, {}), 10) is None


def test_the_best_cell_is_the_one_with_the_largest_change(study: Study) -> None:
    facts = SECTION.remarks["best_cells"](study)
    assert facts is not None
    for cell in facts["cells"]:
        found = surface(study, cell["ratio"])
        assert found is not None
        assert cell["change"] == found[1].max()


def test_the_best_cell_stands_beside_the_best_of_as_many_by_chance(study: Study) -> None:
    facts = SECTION.remarks["best_cells"](study)
    assert facts is not None
    for cell in facts["cells"]:
        assert (cell["of"], cell["seeds"]) == (20, 3)
        assert 0 < cell["chance"] < 0.2
    said = line(Prose(study).macro(SECTION.prose, "best_cells", facts))
    assert said.count("were no cell any better than BCE, the best of 20 would show +") == 3


def test_balanced_alpha_weighs_both_classes_alike(study: Study) -> None:
    assert [row[-1] for row in alpha_ratio(study).rows] == ["1.00"] * 3
    assert alpha_ratio(study).rows[1][:4] == ["1:10", "0.909", "30.00", "10.00"]
