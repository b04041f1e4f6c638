"""A trained model's held-out items among one draw, among every draw, and among all items."""

from pathlib import Path

import pytest
from toys import compose

from experiments.baselines import rankings
from experiments.baselines.arms import METRICS, PROTOCOL
from ncf.train import train


def test_a_trained_model_is_ranked_in_three_ways(root: Path, tmp_path: Path) -> None:
    """One draw as its run has it, all items as a run under full ranking has it, every draw between many draws."""
    base = ["data=synthetic", f"data.root={root}", "data.users=80", "data.items=250", "data.interactions=3000"]
    base += ["model=item_knn", "device=cpu", "trainer.progress=false"]
    results = {}
    for name, more in {"drawn": PROTOCOL[:1], "full": ()}.items():
        (tmp_path / name).mkdir()
        result = train(compose(*base, *more), tmp_path / name)
        assert result
        results[name] = result["test"]
    found = rankings.per_user([tmp_path / "drawn"])
    for metric in METRICS:
        means = {ranking: found[ranking][metric].mean() for ranking in rankings.RANKINGS}
        assert means["one draw"] == pytest.approx(results["drawn"][metric], abs=1e-12)
        assert means["all items"] == pytest.approx(results["full"][metric], abs=1e-12)
        assert abs(means["every draw"] - means["one draw"]) < 0.1
        users = found["one draw"][metric].shape[1]
        halves = [found[f"one draw, {half} items"][metric] for half in ("rare", "popular")]
        assert found["every draw"][metric].shape == found["all items"][metric].shape == (1, users)
        assert halves[0].mean() < halves[1].mean()  # neighbours find popular items more easily
        assert min(half.shape[1] for half in halves) > 0.4 * users
        assert sum(half.sum() for half in halves) == pytest.approx(found["one draw"][metric].sum())
