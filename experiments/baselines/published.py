"""The protocol of the published NCF numbers: every rating is a positive, 1 + 99 candidates, @10."""

import pandas as pd
from omegaconf import OmegaConf
from scipy.stats import kendalltau

from experiments.baselines import runs
from experiments.baselines.arms import ARMS, HERE, PUBLISHED, ROOT
from ncf.tables import read_runs

LITERATURE = HERE / "literature.yaml"
_PROTOCOL = ("data.threshold=null", "evaluation=sampled")
_SEEDS = 5  # 42 to 46, those of the project's reference runs


def measure(jobs: int) -> pd.DataFrame:
    """Train the models that the literature has, and tabulate: a row an arm, means over its seeds."""
    rows = []
    for name in reference()["models"]:
        arm = ARMS[name]
        seeds = arm.seeds[:_SEEDS]
        runs.train(arm, seeds, PUBLISHED, jobs, *_PROTOCOL)
        found = read_runs([ROOT / arm.folder(seed, PUBLISHED) for seed in seeds])
        means = found[["test/hit@10", "test/ndcg@10"]].mean()
        rows.append({"arm": name, "seeds": len(seeds), "hit@10": means.iloc[0], "ndcg@10": means.iloc[1]})
    return pd.DataFrame(rows)


def reference() -> dict:
    """Published values: source, data, and hit@10 and ndcg@10 by arm."""
    found: dict = OmegaConf.to_container(OmegaConf.load(LITERATURE))  # type: ignore[assignment]
    return found


def agreement(ours: pd.DataFrame, metric: str) -> tuple[float, list[tuple[str, str]]]:
    """Kendall's tau of our order with the published one, and the pairs (published winner, loser) that we turn round."""
    theirs = {name: values[metric] for name, values in reference()["models"].items()}
    values = ours.set_index("arm")[metric]
    pairs = [(a, b) for a in theirs for b in theirs if theirs[a] > theirs[b]]
    turned = [(a, b) for a, b in pairs if values[a] < values[b]]
    return float(kendalltau([theirs[n] for n in theirs], [values[n] for n in theirs]).statistic), turned
