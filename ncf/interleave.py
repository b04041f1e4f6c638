"""`python -m ncf.interleave data=x.csv session=s ranker=r clicks=c`: show which ranker lists speak for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ncf.core import command_line
from ncf.core.formats import add_format, as_csv, as_json, as_table, records
from ncf.data.frame import numbers, read_frame
from ncf.errors import ConfigError, DataError
from ncf.online.health import p_text
from ncf.online.preferences import METHODS, Preference, preferences, session_credits, sessions_needed


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.interleave", __doc__)
    options.add_argument(
        "--data", required=True, help="CSV, TSV (also .gz) or Parquet: a row for each item shown, clicked or not"
    )
    options.add_argument("--session", required=True, help="column with the session, the unit of the test")
    options.add_argument("--ranker", required=True, help="column with the ranker that an item is credited to")
    options.add_argument("--clicks", required=True, help="column with its clicks, or what they are worth to the ranker")
    options.add_argument("--user", help="column with the user: sessions of one user then count as one cluster")
    options.add_argument("--method", choices=METHODS, default="team_draft", help="how lists were made (team_draft)")
    options.add_argument("--baseline", help="the ranker that the others are held against (the first by name)")
    options.add_argument("--region", type=float, help="preference a session too small to matter, for a finding")
    options.add_argument("--level", type=float, default=0.95, help="nominal coverage of intervals (0.95)")
    add_format(options)
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    if options.region is not None and not options.region > 0:
        raise ConfigError(f"region: expected a preference above 0, got {options.region:g}")
    columns = [options.session, options.ranker, options.clicks, *([options.user] if options.user else [])]
    frame = read_frame(options.data, columns)
    frame = frame.assign(**{options.clicks: numbers(frame, options.clicks, options.data)})
    names, sessions, credit = session_credits(
        frame, session=options.session, ranker=options.ranker, clicks=options.clicks
    )
    if options.baseline is not None:
        names, credit = _first(names, credit, options.baseline)
    users = _users(frame, options.session, options.user, len(sessions))
    found = preferences(names, credit, clusters=users, method=options.method, level=options.level)
    rows = pd.DataFrame([_row(pair, options.region) for pair in found])
    if options.format == "csv":
        print(as_csv(rows), end="")
    elif options.format == "json":
        print(as_json({"sessions": len(sessions), "pairs": records(rows)}), end="")
    else:
        print(_text(rows, found, len(sessions)), end="")


def _first(names: list[str], credit: np.ndarray, baseline: str) -> tuple[list[str], np.ndarray]:
    """Return rankers and credit with the baseline first."""
    if baseline not in names:
        raise ConfigError(f"baseline: expected one of {', '.join(names)}, got {baseline}")
    order = sorted(range(len(names)), key=lambda i: names[i] != baseline)
    return [names[i] for i in order], credit[:, order]


def _users(frame: pd.DataFrame, session: str, user: str | None, sessions: int) -> np.ndarray | None:
    """Return the user of each session (S,), in the order in which sessions first occur."""
    if user is None:
        return None
    pairs = frame[[session, user]].drop_duplicates()
    if len(pairs) > sessions:
        twice = pairs[session][pairs[session].duplicated()].iloc[0]
        raise DataError(f"{session}: expected one {user} a session, found several for {twice}")
    return pairs[user].to_numpy()


def _row(pair: Preference, region: float | None) -> dict[str, Any]:
    e = pair.estimate
    finding = {} if region is None else {"finding": e.finding((-region, region))}
    return {
        "ranker": pair.second, "against": pair.first, "preference": e.value, "standard_error": e.standard_error,
        "low": e.low, "high": e.high, "p": e.p(), "p_corrected": pair.p_corrected, **finding, "wins": pair.wins,
        "losses": pair.losses, "ties": pair.ties, "p_sign": pair.p_sign,
        "sessions_for_half": _for_half(pair), "warnings": "; ".join(e.warnings),
    }  # fmt: skip


def _for_half(pair: Preference) -> int | None:
    """Return the sessions that would find half this preference with power 0.8."""
    e = pair.estimate
    if not e.value or not e.standard_error:
        return None
    return sessions_needed(e.value / 2, e.standard_error * float(np.sqrt(e.n)))


def _text(rows: pd.DataFrame, found: list[Preference], sessions: int) -> str:
    shown = rows.drop(columns=["warnings", "standard_error", "sessions_for_half"])
    rounded = shown.assign(**{name: shown[name].map(p_text) for name in ("p", "p_corrected", "p_sign")})
    text = as_table(records(rounded), list(shown))
    notes = dict.fromkeys(note for pair in found for note in pair.estimate.warnings)
    lines = [f"warning: {note}" for note in notes]
    lines.append(
        f"{sessions:,} sessions; preference: credit a session of ranker minus against, with its "
        f"{found[0].estimate.level:.4g} interval; p_corrected: by Holm over {len(found)}; wins, losses and ties: "
        "sessions of ranker; p_sign: of the sign test of wins and losses"
    )
    return text + "".join(line + "\n" for line in lines)


if __name__ == "__main__":
    command_line.run(main)
