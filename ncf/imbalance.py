"""`python -m ncf.imbalance run=<folder> against=<folder>`: show F1 by user and item, from rare to popular.

Users and items are the samples of the tests: they say whether these trained models differ, and nothing about how other
seeds would turn out.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.errors import ConfigError, DataError
from ncf.evaluation.imbalance import METRICS, summary
from ncf.evaluation.served import TIERS, Served, differences, served
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import add_options, load, load_asked

LEVEL = 0.95


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.imbalance", __doc__)
    add_options(options)
    options.add_argument("--against", help="folders of other finished runs on the same split (a,b), to compare with")
    options.add_argument(
        "--rule", choices=("top_n", "threshold"), default="top_n",
        help="what is predicted: top_n, each user's n best unseen items; threshold, every pair from a score on (top_n)",
    )  # fmt: skip
    options.add_argument("--n", type=int, help="predictions per user of rule=top_n (10)")
    options.add_argument(
        "--threshold", type=float, help="score of rule=threshold (chosen on validation, for the highest micro F1)"
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.n is not None and options.n < 1:
        raise ConfigError(f"n: expected at least 1, got {options.n}")
    if options.n is not None and options.rule != "top_n":
        raise ConfigError("n: expected rule=top_n, which it belongs to, got rule=threshold")
    if options.threshold is not None and options.rule != "threshold":
        raise ConfigError("threshold: expected rule=threshold, which it belongs to, got rule=top_n")
    run = load_asked(options)
    others = [load(path, options.root, options.archive) for path in _folders(options.against)]
    for other in others:
        refuse_other_data(run, other)
    runs = [run, *others]
    n = (options.n or 10) if options.rule == "top_n" else None
    found = [counted(each, n, options.threshold) for each in runs]
    print(report([replace(each, name=name) for each, name in zip(found, names([r.folder for r in runs]), strict=True)]))


def _folders(text: str | None) -> list[Path]:
    return [Path(name) for name in (text or "").split(",") if name]


def names(folders: Sequence[Path]) -> list[str]:
    """Return what runs are called: the last parts of their folders, as many as tell different folders apart."""
    whole = [folder.resolve().parts for folder in folders]
    lengths = range(1, max(map(len, whole)) + 1)
    length = next(n for n in lengths if len({parts[-n:] for parts in whole}) == len(set(whole)))
    return [str(Path(*parts[-length:])) for parts in whole]


def refuse_other_data(run: LoadedRun, other: LoadedRun) -> None:
    """Raise DataError unless both runs have the same split, so that users and items are the same."""
    if run.split.digest != other.split.digest:
        raise DataError(
            f"{other.folder}: expected the split of {run.folder} ({run.split.digest[:12]}), found another "
            f"({other.split.digest[:12]})"
        )


def counted(run: LoadedRun, n: int | None = 10, threshold: float | None = None) -> Served:
    """Count what a run predicts of its test positives; arguments and errors as `served`."""
    return served(run.split, run.model.score, run.folder.name, n, threshold)


def report(runs: Sequence[Served]) -> str:
    """Return all tables as text: each run, its tiers, and how the first differs from each other."""
    first = runs[0]
    said = [f"{each.name}: {each.rule}" for each in runs]
    for by, sizes in first.sizes.items():
        named = ", ".join(f"{size} {name}" for name, size in zip(TIERS[by], sizes, strict=True))
        said.append(f"{by}s: {named}, a third of the training interactions each; without held-out positives, and left")
        said[-1] += f" out: {first.left_out[by]}"
    blocks = ["\n".join(said), _summaries(runs), _by_tier(runs)]
    blocks += [f"{first.name} against {other.name}\n{_differences(first, other)}" for other in runs[1:]]
    return "\n\n".join(blocks)


def _summaries(runs: Sequence[Served]) -> str:
    header = ["run", "by", "metric", "mean", "median", "micro", "zeros", "undefined", "mean_defined", "median_defined"]
    rows = []
    for run in runs:
        for by, counts in run.counts.items():
            for metric in METRICS:
                found = summary(counts, metric)
                rows.append([run.name, by, metric, *(getattr(found, column) for column in header[3:])])
    return text_table(header, rows)


def _by_tier(runs: Sequence[Served]) -> str:
    rows: list[list[object]] = []
    for run in runs:
        for by in run.counts:
            for name, counts in list(run.groups(by))[1:]:
                found = [float(counts.values(m).mean()) if len(counts.hits) else "none" for m in METRICS]
                rows.append([run.name, by, name, len(counts.hits), *found])
    return text_table(["run", "by", "tier", "count", *(f"mean {metric}" for metric in METRICS)], rows)


def _differences(first: Served, other: Served) -> str:
    rows = []
    for by, name, metric, found in differences(first, other, LEVEL):
        relative = "" if found.relative is None else f"{found.relative:+.1%}"
        if found.relative_ends and found.relative != -1:  # of -100%, all 0, the delta method would be certain
            relative += f" {_interval(found.relative_ends, '+.1%')}"
        absolute = f"{found.difference:+.4f} {_interval(found.ends, '+.4f')}"
        rows.append([by, name, metric, absolute, relative, "< 0.0001" if found.p < 0.0001 else f"{found.p:.4f}"])
    return text_table(["by", "tier", "metric", "difference of means", "relative", "p (Holm)"], rows)


def _interval(ends: tuple[float, float], form: str) -> str:
    return f"[{ends[0]:{form}}, {ends[1]:{form}}]"


if __name__ == "__main__":
    command_line.run(main)
