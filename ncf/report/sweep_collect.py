"""From the run folders of a sweep that nobody registered to the tables of its report, see `ncf.report.sweep`."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from ncf.core.files import write_text
from ncf.core.outside import read_json_lines
from ncf.errors import DataError
from ncf.evaluation.ratings import ERRORS
from ncf.report.arms import is_metric
from ncf.report.collect import one_of_each, protocol, write_table
from ncf.report.study import COMPANIONS, PROTOCOL, RESULTS, UNFINISHED
from ncf.report.unfinished import damaged_ranks, unfinished
from ncf.runs import artifacts
from ncf.runs.tables import finished_runs, read_runs, refuse_not_finite


def collect(sweeps: Sequence[Path], output: Path) -> None:
    """Write `results.csv` and the learning curves of every finished run in `sweeps` to the empty folder `output`.

    The other runs in `sweeps`, and those with damaged ranks, go to `unfinished.csv`.

    Raises:
        DataError: as `ncf.runs.tables.read_runs`; or a run's epochs cannot be read, or a test metric is not finite.
    """
    folders = one_of_each(finished_runs(sweeps))
    runs = read_runs(folders)
    refuse_not_finite(runs, test_metrics(runs), lambda row: str(folders[row] / artifacts.RESULT))
    write_table(runs, output / RESULTS, None)
    settings = protocol([own for folder in folders if (own := artifacts.read_result(folder))])
    words = {"sweep": ", ".join(sweep.resolve().name for sweep in sweeps), "finished": _days(folders)}
    write_text(output / PROTOCOL, json.dumps(settings | words, indent=1, sort_keys=True) + "\n")
    lacking = pd.concat([unfinished(sweeps), damaged_ranks(folders)])
    if not lacking.empty:
        write_table(lacking, output / UNFINISHED, None)
    bar = tqdm(folders, desc="epochs", unit=" runs", delay=2, leave=False)
    kept = [folder for folder in bar if (folder / artifacts.EPOCHS).exists()]
    lines = [_epoch(folder, line) for folder in kept for line in read_json_lines(folder / artifacts.EPOCHS, DataError)]
    if lines:
        write_table(pd.DataFrame(lines), output / COMPANIONS["curves"], "%.6g")


def about(runs: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """Return a line with data, models, epochs and date of the runs, as far as `protocol.json` and the table know."""
    data, finished = facts.get("settings", {}).get("data.name"), facts.get("finished")
    models = [str(model) for model in runs["model"].unique()]
    words = [f"data {data}"] if data else []
    words.append(f"model{'s' if len(models) > 1 else ''} {', '.join(models)}")
    if "epochs" in runs:
        least, most = runs["epochs"].min(), runs["epochs"].max()
        words.append(counted(most, "epoch") if least == most else f"{least} to {most} epochs")
    line = "; ".join(words + ([f"runs finished {finished}"] if finished else []))
    return f"{line[0].upper()}{line[1:]}."


def counted(number: int, what: str) -> str:
    """Return "1 run", "2 runs"."""
    return f"{number} {what}{'s' if number != 1 else ''}"


def _days(folders: Sequence[Path]) -> str:
    """The days, in UTC, on which the first and the last of these runs finished."""
    times = [(folder / artifacts.RESULT).stat().st_mtime for folder in folders]
    days = dict.fromkeys(str(datetime.fromtimestamp(time, UTC).date()) for time in (min(times), max(times)))
    return " to ".join(days)


def test_metrics(runs: pd.DataFrame) -> list[str]:
    """Return the columns of test metrics, the primary one first."""
    left_out = {f"test/{name}" for name in ("tied", *ERRORS)}  # of errors less is better, of all others more
    names = [column for column in runs.columns if column.startswith("test/") and column not in left_out]
    return sorted(names, key=lambda name: name != "test/ndcg@10")


def _epoch(folder: Path, line: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in line.items() if k in ("epoch", "train_loss") or "@" in k or is_metric(f"valid/{k}", True)}
    if not all(isinstance(value, int | float) for value in kept.values()) or "epoch" not in kept:
        raise DataError(f"{folder / artifacts.EPOCHS}: expected numbers and an epoch in each line")
    return {"run": folder.name, **kept}
