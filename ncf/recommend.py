"""`python -m ncf.recommend run=<folder> user=196 k=10`: show what a finished run recommends."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from tqdm import tqdm

from ncf.core import command_line
from ncf.core.command_line import text_table
from ncf.core.files import atomic
from ncf.errors import ConfigError
from ncf.runs.loading import LoadedRun, load

_RECENT = 10  # positives of the user shown for comparison
_USERS_AT_ONCE = 1000  # users per block of output
FORMATS = ("table", "json", "csv")


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.recommend", __doc__)
    options.add_argument("--run", required=True, help="folder of a finished run")
    asked = options.add_mutually_exclusive_group(required=True)
    asked.add_argument("--user", help="users to recommend to: an id, several (1,2,3), or all")
    asked.add_argument("--items_like", help="an item id: show the most similar items instead")
    options.add_argument("--k", type=int, default=10, help="number of items (10)")
    options.add_argument(
        "--format", choices=FORMATS, default="table", help="table, csv, or json with one line per user"
    )
    options.add_argument("--output", type=Path, help="file to write to instead of stdout")
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.k < 1:
        raise ConfigError(f"k: expected at least 1, got {options.k}")
    run = load(options.run)
    blocks = _similar(run, options) if options.items_like is not None else _recommended(run, options)
    if options.output is None:
        for block in blocks:
            sys.stdout.write(block)
        return
    try:
        with atomic(options.output) as file:
            _write(blocks, file)
    except OSError as error:
        raise ConfigError(f"output: cannot write {options.output} ({error.strerror})") from None


def _write(blocks: Iterator[str], file: BinaryIO) -> None:
    for block in blocks:
        file.write(block.encode())


def _similar(run: LoadedRun, options: argparse.Namespace) -> Iterator[str]:
    frame = run.items_like(options.items_like, options.k)
    if options.format == "table":
        one = run.described(run.indices("item", [options.items_like]))
        yield f"items like {' '.join(str(values[0]) for values in one.values())}\n"
    yield _shown(frame, options.format)


def _recommended(run: LoadedRun, options: argparse.Namespace) -> Iterator[str]:
    """Yield the output, a block of users at a time; all ids are checked before anything is written."""
    ids = run.split.user_ids.tolist() if options.user == "all" else list(dict.fromkeys(options.user.split(",")))
    run.indices("user", ids)
    with tqdm(total=len(ids), unit="users", disable=options.output is None) as bar:
        for start in range(0, len(ids), _USERS_AT_ONCE):
            frame = run.recommend(ids[start : start + _USERS_AT_ONCE], options.k, bar.update)
            if options.format == "csv":
                yield frame.to_csv(index=False, header=start == 0, lineterminator="\n")
                continue
            for user, items in frame.groupby("user_id", sort=False):
                yield _one_user(run, user, items.drop(columns="user_id"), options.format)


def _one_user(run: LoadedRun, user: object, items: pd.DataFrame, form: str) -> str:
    recent = run.history(user, _RECENT)
    if form == "json":
        lists = {"recent": _records(recent), "items": _records(items)}
        return json.dumps({"user_id": user, **lists}, ensure_ascii=False) + "\n"
    return f"user {user}: recent positives\n{_table(recent)}\n\nrecommended\n{_table(items)}\n\n"


def _shown(frame: pd.DataFrame, form: str) -> str:
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    return json.dumps(_records(frame), ensure_ascii=False) + "\n" if form == "json" else _table(frame) + "\n"


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*(frame[c].tolist() for c in frame), strict=True)]


def _table(frame: pd.DataFrame) -> str:
    return text_table([str(name) for name in frame], zip(*(frame[name].tolist() for name in frame), strict=True))


if __name__ == "__main__":
    command_line.run(main)
