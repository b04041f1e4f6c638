"""`python -m ncf.beyond run=<folder> k=10`: show what a mean metric hides, on a finished run's test positives."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.errors import ConfigError
from ncf.evaluation import FullRanking, Ranks, beyond_accuracy, test_targets
from ncf.evaluation.metrics import columns
from ncf.runs.loading import LoadedRun, load
from ncf.runs.ranks_file import evaluation_of

_GROUPS = ("low", "middle", "high")


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.beyond", __doc__)
    options.add_argument("--run", required=True, help="folder of a finished run")
    options.add_argument("--k", type=int, default=10, help="cut-off (10)")
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.k < 1:
        raise ConfigError(f"k: expected at least 1, got {options.k}")
    print(report(load(options.run), options.k))


def report(run: LoadedRun, k: int) -> str:
    """Return metrics of ranks and of recommended lists, and HR@k and NDCG@k by group, as text."""
    evaluation = evaluation_of(run.result)
    ranks = evaluation.evaluate(run.model.score, test_targets(run.split, "cpu"))
    rows = [*rank_metrics(ranks, k, evaluation).items(), *list_metrics(run, ranks.users.numpy(), k).items()]
    counted = values_of(ranks, ["hit", "ndcg"], k, evaluation)
    grouped = []
    for what, group in memberships(run, ranks).items():
        tables = {name: beyond_accuracy.by_group(v, group) for name, v in counted.items()}
        first = next(iter(tables.values()))
        grouped += [[what, _GROUPS[g], first[g][0], *(t[g][1] for t in tables.values())] for g in first]
    return f"{text_table(['metric', 'value'], rows)}\n\n{text_table(['by', 'group', 'positives', *counted], grouped)}"


def rank_metrics(ranks: Ranks, k: int, evaluation: FullRanking) -> dict[str, float]:
    """Return the means of further rank metrics over the positives."""
    values = values_of(ranks, ["precision", "recall", "map", "auc"], k, evaluation)
    return {name: float(value.mean()) for name, value in values.items()}


def values_of(ranks: Ranks, names: list[str], k: int, evaluation: FullRanking) -> dict[str, Tensor]:
    """Return metric -> (N,) float64, one value per positive, at cut-off k and with the tie rule of `evaluation`."""
    return {name: metric(ranks, at, evaluation.ties) for name, (metric, at) in columns(names, [k]).items()}


def list_metrics(run: LoadedRun, users: np.ndarray, k: int) -> dict[str, float]:
    """Return coverage, Gini index, novelty and popularity of the top-k lists of users (B,), without known positives."""
    split = run.split
    scores = run.model.score(torch.from_numpy(users)).clone()
    for part in (split.train, split.valid):
        rows = np.full(split.num_users, -1)
        rows[users] = np.arange(len(users))
        known = rows[part.users] >= 0
        scores[rows[part.users[known]], part.items[known]] = -torch.inf
    lists = scores.topk(min(k, split.num_items), dim=1).indices.numpy()
    popularity = np.bincount(split.train.items, minlength=split.num_items)
    return {
        f"coverage@{k}": beyond_accuracy.coverage(lists, split.num_items),
        f"gini@{k}": beyond_accuracy.gini(lists, split.num_items),
        f"novelty@{k}": beyond_accuracy.novelty(lists, popularity, split.num_users),
        f"popularity@{k}": beyond_accuracy.average_popularity(lists, popularity),
    }


def memberships(run: LoadedRun, ranks: Ranks) -> dict[str, np.ndarray]:
    """Return the group (N,) of each positive, by its item's and by its user's number of training positives."""
    split = run.split
    popularity = np.bincount(split.train.items, minlength=split.num_items)[ranks.items.numpy()]
    activity = np.bincount(split.train.users, minlength=split.num_users)[ranks.users.numpy()]
    return {
        "popularity": beyond_accuracy.groups(popularity, len(_GROUPS)),
        "activity": beyond_accuracy.groups(activity, len(_GROUPS)),
    }


if __name__ == "__main__":
    command_line.run(main)
