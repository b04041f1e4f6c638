"""`python -m ncf.recommend run=<folder> user=196 k=10` (or items=50,181): show what a finished run recommends."""

import argparse
import csv
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from tqdm import tqdm

from ncf.core import command_line, shares
from ncf.core.command_line import visible
from ncf.core.files import atomic
from ncf.core.formats import FORMATS, Record, as_csv, as_json, as_table, records
from ncf.core.rng import numpy_generator
from ncf.core.shares import Share
from ncf.data.feedback import LoggedFeedback, append
from ncf.errors import ConfigError, DataError
from ncf.off_policy.policies import draw_lists
from ncf.retrieval import build
from ncf.runs import index_file, reranking
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import add_options, load_asked
from ncf.runs.parquet_parts import SUFFIX, Block, Table, made_of

_RECENT = 10  # positives of the user shown for comparison
_USERS_AT_ONCE = 1000  # users per block of output
_DRAWN_AT_ONCE = 100  # users whose scores are held at once
_EVERYONE = ("all", "*")
_PARQUET = "parquet"

Recommend = Callable[[Sequence[Any], Callable[[int], object]], pd.DataFrame]
"""Ids of users, and what is told of progress -> their items."""


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.recommend", __doc__)
    add_options(options)
    asked = options.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--user", help='users to recommend to: an id, several (1,2,3; an id with a comma as "a,b"), or all (or *)'
    )
    asked.add_argument(
        "--items", help="recommend to a new user who has these items: ids, spelled as those of users (50,181,172)"
    )
    asked.add_argument("--items_like", help="an item id: show the most similar items instead")
    options.add_argument("--ratings", help="of the items, one for each (5,4,5); model=als alone needs them")
    options.add_argument("--k", type=int, default=10, help="number of items (10)")
    options.add_argument(
        "--format",
        choices=(*FORMATS, _PARQUET),
        default="table",
        help="table; csv, where text that a spreadsheet takes for a formula begins with an apostrophe; json, with one "
        "line per user and every text as it is; or parquet, whose columns are those of csv (of the extra export)",
    )
    options.add_argument(
        "--output", type=Path, help="file to write to instead of stdout; of format=parquet, a folder of parts, or a "
        f"file if it ends in {SUFFIX}"
    )  # fmt: skip
    shares.add_option(options, "the users, with format=parquet output=<folder>")
    options.add_argument(
        "--temperature", type=float, help="draw the items by softmax(score / temperature) instead of ranking them"
    )
    options.add_argument("--seed", type=int, help="of the draw (a new one, which is shown)")
    options.add_argument("--log", type=Path, help="CSV file to add what was drawn to, for python -m ncf.off_policy")
    reranking.add_options(options)
    options.add_argument(
        "--retrieval",
        choices=index_file.RETRIEVALS,
        default=index_file.EXACT,
        help="exact: every item is scored; faiss_hnsw or faiss_ivf: an index of item vectors, which is kept in the "
        "run's folder and whose recall is shown (faiss is of the extra ann)",
    )
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    with shares.speaking():
        options = parser().parse(arguments)
        if options.k < 1:
            raise ConfigError(f"k: expected at least 1, got {options.k}")
        if options.ratings is not None and options.items is None:
            raise ConfigError("ratings: expected items=<ids>, which they rate, found none")
        _show(options, _share(options))


def _show(options: argparse.Namespace, share: Share | None) -> None:
    """Show or write what is asked for. Raises NcfError."""
    _check_draw(options)
    reranking.asked(options, options.k)
    if options.user is None or options.temperature is not None:
        _refuse_candidates(options)
    if options.format == _PARQUET:
        _write_parquet(options, share)
        return
    run = load_asked(options)
    show = _similar if options.items_like is not None else _to_new_user if options.items is not None else _recommended
    blocks = show(run, options)
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
        file.write(block.encode(errors="backslashreplace"))


def _share(options: argparse.Namespace) -> Share | None:
    """Return which part of the users to write; None for all, to one file. Raises ConfigError if that does not do."""
    share = shares.asked(options.part)
    if share is not None and options.format != _PARQUET:
        found = "part=" if options.part is not None else f"{share.parts} processes of torchrun"
        raise ConfigError(f"format: expected {_PARQUET}, which is written by parts, got {options.format} with {found}")
    if options.format != _PARQUET:
        return None
    for name in ("user", "output"):
        if getattr(options, name) is None:
            raise ConfigError(f"{name}: expected {name}=, which format={_PARQUET} needs, found none")
    if options.log is not None:
        raise ConfigError(f"log: not allowed with format={_PARQUET}, whose column propensity has what a log would")
    if share is None:
        return None if options.output.suffix == SUFFIX and not options.output.is_dir() else Share()
    if share.parts > 1 and options.retrieval != index_file.EXACT:
        raise ConfigError(f"retrieval: expected {index_file.EXACT} for {share.parts} parts, got {options.retrieval}")
    if share.parts > 1 and options.temperature is not None and options.seed is None:
        raise ConfigError(f"seed: expected seed=, so that {share.parts} parts are of the same draw, found none")
    return share


def _write_parquet(options: argparse.Namespace, share: Share | None) -> None:
    """Write what is recommended to the users asked for, or to this share of them, unless it is there already."""
    settings = reranking.asked(options, options.k)
    chosen = {name: getattr(options, name) for name in ("user", "k", "temperature", "seed", "retrieval")}
    chosen["rerank"] = None if settings is None else vars(settings)
    table = Table(options.output, share, made_of(Path(options.run), "recommendations", chosen))
    speaks = share is None or share.speaks
    if not table.missing():
        if speaks:
            print(f"{table.file}: complete; nothing to do", file=sys.stderr)
        return
    run = load_asked(options, mapped=share is not None)
    table.write(_blocks(run, options, share or Share(), speaks))


def _blocks(run: LoadedRun, options: argparse.Namespace, share: Share, speaks: bool) -> Iterator[Block]:
    """Yield the rows of whole blocks of users, and which of them are of the share's users.

    Blocks begin at the same users whatever the share is: the last bits of a score may depend on the users beside it.
    """
    users, recommend = _asked(run, options.user), _way(run, options)
    first, end = share.of(len(users))
    with tqdm(total=end - first, unit="users", disable=not speaks) as bar:
        for start in range(first - first % _USERS_AT_ONCE, max(end, first + 1), _USERS_AT_ONCE):
            some = users[start : start + _USERS_AT_ONCE].tolist()
            items = recommend(some, lambda count: None)
            own = some[max(first - start, 0) : max(end - start, 0)]
            yield items, items["user_id"].isin(own).to_numpy()
            bar.update(len(own))


def _similar(run: LoadedRun, options: argparse.Namespace) -> Iterator[str]:
    frame = run.items_like(options.items_like, options.k)
    if options.format == "table":
        one = run.described(run.indices("item", [options.items_like]))
        yield f"items like {' '.join(visible(values[0]) for values in one.values())}\n"
    yield as_csv(frame) if options.format == "csv" else _shown(records(frame), list(frame), options.format)


def _to_new_user(run: LoadedRun, options: argparse.Namespace) -> Iterator[str]:
    known = list(run.split.item_ids[_indices(run, "item", options.items)].tolist()) if options.items else []
    ratings = None if options.ratings is None else next(csv.reader([options.ratings]), [])
    frame = run.recommend_for(known, options.k, ratings).drop(columns="list")
    given = pd.DataFrame(run.described(run.indices("item", list(dict.fromkeys(known)))))
    if options.format == "csv":
        yield as_csv(frame)
    elif options.format == "json":
        yield as_json({"given": records(given), "items": records(frame)})
    else:
        for title, shown in (("given", given), ("recommended", frame)):
            yield f"{title}\n{_shown(records(shown), list(shown), options.format)}\n"


def _recommended(run: LoadedRun, options: argparse.Namespace) -> Iterator[str]:
    """Yield the output, a block of users at a time; all ids are checked before anything is written."""
    ids = _asked(run, options.user)
    recommend = _way(run, options)
    with tqdm(total=len(ids), unit="users", disable=options.output is None) as bar:
        for start in range(0, len(ids), _USERS_AT_ONCE):
            some = ids[start : start + _USERS_AT_ONCE].tolist()
            items = recommend(some, bar.update)
            if options.format == "csv":
                yield as_csv(items, header=start == 0)
            else:
                yield _by_user(some, run.histories(some, _RECENT), items, options.format)


def _check_draw(options: argparse.Namespace) -> None:
    """Complete the options of a draw. Raises ConfigError for those that do not belong together."""
    if options.temperature is None:
        if given := [name for name in ("seed", "log") if getattr(options, name) is not None]:
            raise ConfigError(f"{given[0]}: expected temperature=, which draws items, found none")
        return
    if options.user is None:
        raise ConfigError("temperature: expected user=, whose items are drawn, found none")
    if not 0 < options.temperature < float("inf"):
        raise ConfigError(f"temperature: expected a number above 0, got {options.temperature}")
    if options.seed is None:
        options.seed = secrets.randbelow(2**31)
        print(f"seed={options.seed} repeats this draw", file=sys.stderr)


def _refuse_candidates(options: argparse.Namespace) -> None:
    """Raise ConfigError for re-ranking or an index where items are not ranked for known users."""
    if options.rerank is not None or options.retrieval != index_file.EXACT:
        name = "retrieval" if options.rerank is None else "rerank"
        other = "temperature, which draws items" if options.temperature is not None else "none"
        raise ConfigError(f"{name}: expected user= alone, whose items are ranked, found {other}")


def _way(run: LoadedRun, options: argparse.Namespace) -> Recommend:
    """Return how items are found: by rank, drawn, or chosen from candidates."""
    if options.temperature is not None:
        return partial(_drawn_in_parts, run, options)
    settings = reranking.asked(options, options.k)
    if settings is None and options.retrieval == index_file.EXACT:
        return lambda ids, progress: run.recommend(ids, options.k, progress)
    reranker = None if settings is None else build(settings, run.split, run.model)
    count = options.k if settings is None else settings.candidates
    source = reranking.by_score(run)
    if options.retrieval != index_file.EXACT:
        source = index_file.retrieval(run, options.retrieval, count, partial(print, file=sys.stderr))
    return lambda ids, progress: reranking.recommend(run, ids, options.k, source, reranker, count, progress)


def _drawn_in_parts(
    run: LoadedRun, options: argparse.Namespace, ids: Sequence[Any], progress: Callable[[int], object]
) -> pd.DataFrame:
    """Return items drawn for each user as `LoadedRun.recommend` does, with a column propensity; log them if asked."""
    parts = []
    for start in range(0, len(ids), _DRAWN_AT_ONCE):
        some = ids[start : start + _DRAWN_AT_ONCE]
        parts.append(_drawn(run, some, options))
        progress(len(some))
    frame = pd.concat(parts, ignore_index=True)
    if options.log is not None:
        append(_logged(frame, run, options), options.log)
    return frame


def _drawn(run: LoadedRun, ids: Sequence[Any], options: argparse.Namespace) -> pd.DataFrame:
    """Return items drawn without replacement from those that a user does not have yet; a user's draw is the seed's."""
    scores = run.score(ids).astype(np.float64)
    scores[run.seen[run.indices("user", ids)].nonzero()] = -np.inf
    streams = [numpy_generator(options.seed, f"recommend/{user}") for user in ids]
    some = (scores > -np.inf).any(axis=1)
    items = np.zeros((len(ids), min(options.k, scores.shape[1])), np.int64)
    propensity = np.zeros(items.shape)
    if some.any():
        chosen = [streams[row] for row in np.flatnonzero(some)]
        items[some], propensity[some] = draw_lists(scores[some], options.k, options.temperature, chosen)
    there = propensity > 0
    columns = {"user_id": np.repeat(np.asarray(ids, run.split.user_ids.dtype), there.sum(axis=1)),
               "rank": np.broadcast_to(np.arange(1, there.shape[1] + 1), there.shape)[there]}  # fmt: skip
    values = np.take_along_axis(scores, items, axis=1)[there]
    return pd.DataFrame(columns | run.described(items[there]) | {"score": values, "propensity": propensity[there]})


def _logged(frame: pd.DataFrame, run: LoadedRun, options: argparse.Namespace) -> LoggedFeedback:
    """Return the rows of a log that waits for its rewards; a list is told from others by its time, seed and user."""
    now = round(time.time(), 3)
    lists = [f"{now:.3f}-{options.seed}-{user}" for user in frame["user_id"].tolist()]
    policy = f"{run.folder.name} temperature={options.temperature:g}"
    return LoggedFeedback(
        frame["item_id"].to_numpy(), frame["propensity"].to_numpy(), user=frame["user_id"].to_numpy(),
        position=frame["rank"].to_numpy(), time=np.full(len(frame), now), policy=np.full(len(frame), policy, object),
        slate=np.array(lists, object),
    )  # fmt: skip


def _asked(run: LoadedRun, text: str) -> np.ndarray:
    """Return the ids (N,) of the users asked for: one whose id is `text`, everyone, or those of a list of ids."""
    known = run.split.user_ids
    if text in _EVERYONE and (known.dtype.kind == "i" or text not in known):
        return known
    return known[list(dict.fromkeys(_indices(run, "user", text).tolist()))]


def _indices(run: LoadedRun, what: str, text: str) -> np.ndarray:
    """Return the indices of what is asked for: the one whose id is `text`, or those of a list of ids."""
    try:
        return run.indices(what, [text])
    except DataError:
        ids = next(csv.reader([text], skipinitialspace=True), [text])
        if len(ids) == 1 and ids[0] == text:
            raise
    return run.indices(what, ids)


def _by_user(ids: Sequence[Any], recent: pd.DataFrame, items: pd.DataFrame, form: str) -> str:
    """Return the recent positives and the recommended items of each user, as lines of JSON or as tables."""
    known, new = _grouped(ids, recent), _grouped(ids, items)
    if form == "json":
        lines = ({"user_id": user, "recent": known[user], "items": new[user]} for user in ids)
        return "".join(as_json(line) for line in lines)
    columns, others = list(recent)[1:], list(items)[1:]
    return "".join(
        f"user {visible(user)}: recent positives\n{_shown(known[user], columns, form)}\n"
        f"recommended\n{_shown(new[user], others, form)}\n"
        for user in ids
    )


def _grouped(ids: Sequence[Any], frame: pd.DataFrame) -> dict[Any, list[Record]]:
    """Return the rows of each user, without the column user_id."""
    rows: dict[Any, list[Record]] = {user: [] for user in ids}
    for row in records(frame):
        rows[row.pop("user_id")].append(row)
    return rows


def _shown(rows: list[Record], columns: list[str], form: str) -> str:
    return as_json(rows) if form == "json" else as_table(rows, columns)


if __name__ == "__main__":
    command_line.run(main)
