"""Show tables of results as text for people, as CSV for spreadsheets, or as JSON for programs."""

import argparse
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ncf.core.command_line import text_table, visible

FORMATS = ("table", "csv", "json")
HELP = (
    "table; csv, where text that a spreadsheet takes for a formula begins with an apostrophe; or json, with every text "
    "as it is"
)
_FORMULA, _NUMBER = re.compile(r"[=+\-@]"), re.compile(r"[+-]?\d+(\.\d*)?")

Record = dict[str, Any]


def add_format(options: argparse.ArgumentParser) -> None:
    """Add `format=table|csv|json` to the options of a command."""
    options.add_argument("--format", choices=FORMATS, default="table", help=HELP)


def html_file(text: str) -> Path:
    """Return the path of a page to write. Raises ArgumentTypeError unless it ends in .html: data keep their files."""
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .html, got {text!r}")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"expected a file, found something else at {text!r}")
    return path


def records(frame: pd.DataFrame) -> list[Record]:
    """Return the rows of a frame as plain Python values, None where one is missing."""
    rows = zip(*(frame[c].tolist() for c in frame), strict=True)
    return [dict(zip(frame.columns, row, strict=True)) for row in rows]


def as_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return aligned lines for a terminal, control characters escaped."""
    cells = ([visible(value) if isinstance(value, str) else value for value in row.values()] for row in rows)
    return text_table(columns, cells) + "\n"


def plain(value: Any) -> Any:
    """Return nested values as JSON knows them: keys as text, NumPy's numbers as Python's, None for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: object) -> str:
    """Return a line of JSON of `plain` values: every text as it is, control and direction characters as escapes."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    return (text if text.isprintable() else "".join(map(_escaped, text))) + "\n"


def as_csv(frame: pd.DataFrame, header: bool = True) -> str:
    """Return lines of CSV for people: a text that a spreadsheet would run as a formula begins with an apostrophe."""
    texts = {c: [_cell(value) for value in frame[c].tolist()] for c in frame if frame[c].dtype.kind not in "iuf"}
    return frame.assign(**texts).to_csv(index=False, header=header, lineterminator="\n")


def written(form: str, text: Callable[[], str], values: Callable[[], object], frame: Callable[[], pd.DataFrame]) -> str:
    """Return what was found in one of `FORMATS`: as `text` for people, `values` for JSON, or the `frame` for CSV."""
    return {"table": text, "json": lambda: as_json(values()), "csv": lambda: as_csv(frame())}[form]()


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return ("'" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else "") + visible(value)
