"""A run whose model is fitted without gradient leaves the same folder as any other."""

import torch
from toys import compose, run, small

from ncf import train
from ncf.models import MODELS
from ncf.runs import checkpoint, results


def overrides(root, *more):
    return [o for o in small(root, *more) if not o.startswith("model.")]


def test_the_run_folder_is_whole(root, tmp_path):
    cfg = compose(*overrides(root, "model=item_knn"))
    result = train.train(cfg, tmp_path, lambda: False)
    assert result == {k: v for k, v in results.read_result(tmp_path).items() if k != "format"}
    assert 0 < result["valid"]["ndcg@10"] < 1
    assert result["timings"]["train_seconds"] > 0
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert len((tmp_path / "ranks.csv").read_text().splitlines()) == 1 + 2 * 60
    arrays = checkpoint.read(tmp_path / "checkpoint.pt")["best"]
    assert set(arrays) == {"neighbours", "similarities", "starts", "history_items"}
    model = MODELS["item_knn"](60, 80, k=1, similarity="cosine", shrinkage=0.0)
    model.restore(arrays)
    assert model.score(torch.arange(3)).shape == (3, 80)


def test_a_finished_run_is_kept_and_a_half_written_one_is_fitted_again(root, tmp_path):
    cfg = compose(*overrides(root, "model=ease"))
    first = train.train(cfg, tmp_path, lambda: False)
    assert train.train(cfg, tmp_path, lambda: False)["timings"] == first["timings"]
    (tmp_path / "result.json").unlink()
    assert train.train(cfg, tmp_path, lambda: False)["test"] == first["test"]


def test_a_bad_setting_is_one_line(root, tmp_path):
    done = run(*overrides(root, "model=ease"), "model.l2=0.0", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: model.l2: input should be greater than 0, got 0.0"
