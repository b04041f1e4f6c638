"""The gamma x alpha surface, and what its caption may claim."""

import pytest

from ncf.report.figures.grid import heat_map, surface
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
    _, caption = heat_map(Study(study.registration, study.runs, {"settings": settings}, study.companions))
    assert ("shows the noise" in caption) == said
