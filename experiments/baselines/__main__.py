"""`python -m experiments.baselines [stage ...]`: tune, train, compare, measure the published protocol, write the page.

Stages, all in this order if none is named: tune (tuning/, tuning.csv and conf/experiment/tuned_*.yaml), train (runs
with what was chosen, results.csv, ranks.csv.gz), compare (intervals.csv and comparisons.csv, from these two files
alone), published (published.csv, pairs.csv), page (README.md and figures from these files). Each goes on where it was
stopped. Run it from the root of the checkout.
"""

from collections.abc import Sequence

import pandas as pd

from experiments.baselines import page, published, runs
from experiments.baselines.arms import ARMS, HERE
from experiments.baselines.comparisons import best_baseline, comparisons, intervals, reference
from experiments.baselines.tuning import tune_all
from ncf.core.command_line import Parser, run
from ncf.errors import ConfigError
from ncf.report.collect import write_table

STAGES = ("tune", "train", "compare", "published", "page")
_STAGES = (
    "tune (choose settings), train (runs with them), compare (tables from results.csv and ranks.csv.gz), published "
    "(the published protocol), page (README.md); all in this order if none is named; each goes on where it was "
    "stopped"
)


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = Parser("experiments.baselines", __doc__)
    parser.add_argument("stages", nargs="*", metavar="stage", help=_STAGES)
    parser.add_argument("--minutes", type=float, default=15.0, help="of each study, after which no trial begins (15)")
    parser.add_argument("--jobs", type=int, default=-1, help="processes that train; -1 for one a core")
    options = parser.parse(arguments)
    if unknown := set(options.stages) - set(STAGES):
        raise ConfigError(f"expected stages of {', '.join(STAGES)}, got {', '.join(sorted(unknown))}")
    if not options.minutes > 0 or (options.jobs < 1 and options.jobs != -1):
        raise ConfigError("expected minutes above 0, and jobs of -1 or at least 1")
    stages = options.stages or STAGES
    if "tune" in stages:
        tune_all(options.minutes, options.jobs)
    if "train" in stages:
        train_all(options.jobs)
    if "compare" in stages:
        compare_all()
    if "published" in stages:
        means, pairs = published.measure(options.jobs)
        _write(means, "published")
        _write(pairs, "pairs")
    if "page" in stages:
        page.write(page.read())


def train_all(jobs: int) -> None:
    """The runs of every arm that are not there yet, and what the page needs of all of them."""
    for arm in ARMS.values():
        runs.train(arm, arm.seeds, jobs)
    _write(runs.table(), "results")
    write_table(runs.ranks(), HERE / "ranks.csv.gz", None)


def compare_all() -> None:
    """What results.csv and ranks.csv.gz tell; no run is needed."""
    table, values = pd.read_csv(HERE / "results.csv"), runs.per_user(pd.read_csv(HERE / "ranks.csv.gz"))
    _write(intervals(values), "intervals")
    _write(comparisons(values, [reference(table), best_baseline(table)]), "comparisons")


def _write(table: pd.DataFrame, name: str) -> None:
    table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    run(main)
