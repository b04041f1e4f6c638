"""`python -m ncf.beyond run=<folder> k=10`: show what a mean metric hides, on a finished run's test positives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.evaluation import EVALUATIONS, FullRanking, Ranks, SampledRanking, Targets, beyond_accuracy, test_targets
from ncf.evaluation.ranking import chunk_size
from ncf.evaluation.top import top
from ncf.retrieval.rerankers import Reranking
from ncf.runs import diversity, reranking
from ncf.runs.identity import completed
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import add_options, load_asked

_GROUPS = ("low", "middle", "high")

Progress = Callable[[int], object]
"""Called with a number of positives that have been scored."""


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.beyond", __doc__)
    add_options(options)
    options.add_argument("--k", type=int, default=10, help="cut-off (10)")
    reranking.add_options(options)
    options.add_argument(
        "--page", type=Path, help="with rerank=: HTML file of the trade-off over lambda to write (extra report)"
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.k < 1:
        raise ConfigError(f"k: expected at least 1, got {options.k}")
    settings = reranking.asked(options, options.k)
    if settings is not None:
        print(reranked(load_asked(options), options.k, settings, options.page))
        return
    if options.page is not None:
        raise ConfigError("page: expected rerank=, whose trade-off it shows, found none")
    run = load_asked(options)
    with tqdm(total=2 * len(run.split.test.users), unit=" users", delay=2, leave=False) as bar:
        shown = report(run, options.k, bar.update)
    print(shown)


def reranked(run: LoadedRun, k: int, settings: Reranking, page: Path | None = None) -> str:
    """Return metrics of the plain lists beside those of the re-ranked ones, as text; write the page over lambda.

    Raises:
        ConfigError: k exceeds the number of items, or the page needs what is not installed.
        DataError: the data has no genres, or the model no vectors, where they are needed.
        FileError: the page cannot be written.
    """
    if k > run.split.num_items:
        raise ConfigError(f"k: expected at most {run.split.num_items}, the number of items, got {k}")
    if page is None:
        found = diversity.trade_off(run, k, [settings])
    else:
        from ncf.report import diversity_page  # here: without a page, no matplotlib is needed

        found = diversity.trade_off(run, k, [settings, *diversity.curve(settings)])
        title = f"What variety costs: {settings.name} {settings.similarity or ''}, {run.folder.name}, lists of {k}"
        diversity_page.write(found.drop(index=1), page, title)
    named = found.columns[4:]
    rows = [[f"{name}@{k}", *(float(found[name].iloc[row]) for row in (0, 1))] for name in named]
    return f"{settings}\n\n{text_table(['metric', 'plain', 're-ranked'], rows)}"


def report(run: LoadedRun, k: int, progress: Progress = lambda count: None) -> str:
    """Return metrics of ranks and of recommended lists, and HR@k and NDCG@k by group, as text.

    Raises:
        ConfigError: k exceeds the number of items.
        TrainingError: a score is NaN.
    """
    if k > run.split.num_items:
        raise ConfigError(f"k: expected at most {run.split.num_items}, the number of items, got {k}")
    targets = test_targets(run.split, "cpu")
    evaluation = _evaluation(run.result, metrics=["hit", "ndcg"], cutoffs=[k])

    def score(users: Tensor) -> Tensor:
        """users (B,) -> (B, I)."""
        progress(len(users))
        return run.model.score(users)

    ranks = evaluation.evaluate(score, targets)
    lists = list_metrics(run, recommended(score, targets, k, evaluation.memory_mb), k)
    counted = evaluation.per_positive(ranks)
    grouped = []
    for what, group in memberships(run, ranks).items():
        tables = {name: beyond_accuracy.by_group(v, group) for name, v in counted.items()}
        first = next(iter(tables.values()))
        grouped += [[what, _GROUPS[g], first[g][0], *(t[g][1] for t in tables.values())] for g in first]
    metrics = text_table(["metric", "value"], [*rank_metrics(run.result, ranks, k).items(), *lists.items()])
    return f"{metrics}\n\n{text_table(['by', 'group', 'positives', *counted], grouped)}"


def rank_metrics(result: Mapping[str, Any], ranks: Ranks, k: int) -> dict[str, float]:
    """Return the means of further rank metrics, as the run's evaluation takes them.

    A correction of sampled ranking estimates the full precision, recall and MAP; AUC among samples needs none.
    """
    corrected = _evaluation(result, metrics=["precision", "recall", "map"], cutoffs=[k])
    area = _evaluation(result, metrics=["auc"], cutoffs=[k])
    if isinstance(area, SampledRanking):
        area.correction = None
        ranks_among_samples = replace(ranks, candidates=torch.full_like(ranks.candidates, 1 + area.negatives))
        return corrected.metrics(ranks) | area.metrics(ranks_among_samples)
    return corrected.metrics(ranks) | area.metrics(ranks)


def _evaluation(result: Mapping[str, Any], **changed: Any) -> FullRanking:
    """Return the evaluation that ranked the run with this result, with other metrics."""
    settings = completed(result["config"])["evaluation"] | changed
    evaluation: FullRanking = component("evaluation", EVALUATIONS, settings)()
    return evaluation


@torch.no_grad()
def recommended(score: Callable[[Tensor], Tensor], targets: Targets, k: int, memory_mb: float) -> np.ndarray:
    """Return counts (I,) int64: in how many top-k lists each item is, one list for each user of `targets`.

    A list has only items that the user has not seen, fewer than k if fewer are left, and of equal scores the lower
    index first. Users are scored in chunks of `memory_mb`.
    """
    counts = np.zeros(targets.num_items, np.int64)
    step = chunk_size(targets.num_items, memory_mb)
    first = np.zeros(len(targets), dtype=bool)  # a user with several held-out positives has one list
    first[np.unique(targets.users.numpy(), return_index=True)[1]] = True
    for start in range(0, len(targets), step):
        rows = slice(start, min(start + step, len(targets)))
        scores = score(targets.users[rows]).clone()
        entries = slice(targets.seen_starts[rows.start], targets.seen_starts[rows.stop])
        scores[targets.seen_rows[entries] - start, targets.seen_items[entries]] = -torch.inf
        values, items = (found[torch.from_numpy(first[rows])] for found in top(scores, k))
        counts += np.bincount(items[values > -torch.inf].numpy(), minlength=targets.num_items)
    return counts


def list_metrics(run: LoadedRun, counts: np.ndarray, k: int) -> dict[str, float]:
    """Return coverage, Gini index, novelty and popularity of top-k lists, by how many of them have each item, (I,)."""
    split = run.split
    popularity = np.bincount(split.train.items, minlength=split.num_items)
    return {
        f"coverage@{k}": beyond_accuracy.coverage(counts),
        f"gini@{k}": beyond_accuracy.gini(counts),
        f"novelty@{k}": beyond_accuracy.novelty(counts, popularity, split.num_users),
        f"popularity@{k}": beyond_accuracy.average_popularity(counts, popularity),
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
