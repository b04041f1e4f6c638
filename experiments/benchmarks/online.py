"""`python -m experiments.benchmarks.online`: time and memory of an experiment of 10^6 users by 30 days.

A child process takes a Parquet file or a frame of a row a user and day, checks the health, and finds the effects of two
metrics with their days and 30 planned looks. It measures itself: seconds, and seconds of processor time, from the data
to the findings, and the peak of its resident memory, the interpreter and the data themselves included.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

FORMS = ("parquet", "frame")
_OPTIONS = {
    "unit": "user", "arm": "arm", "metric": ["clicks", "clicks/sessions"], "time": "day", "margin": 0.01,
    "looks": list(range(1, 31)),
}  # fmt: skip


def made(users: int, days: int, seed: int = 0) -> pd.DataFrame:
    """Return a row a user and day, days together, users in a random order within each."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, users, dtype=np.int8)
    activity = rng.gamma(2, 0.5, users).astype(np.float32)
    columns: dict[str, list[np.ndarray]] = {"user": [], "arm": [], "day": [], "clicks": [], "sessions": []}
    for day in range(days):
        order = rng.permutation(users).astype(np.int32)
        sessions = (1 + rng.poisson(1.0, users)).astype(np.int16)
        clicks = rng.poisson(0.3 * sessions * activity[order] * (1 + 0.02 * arm[order])).astype(np.int16)
        for name, values in (("user", order), ("arm", arm[order]), ("day", np.full(users, day, np.int16)),
                             ("clicks", clicks), ("sessions", sessions)):  # fmt: skip
            columns[name].append(values)
    return pd.DataFrame({name: np.concatenate(parts) for name, parts in columns.items()})


def child(path: Path, form: str) -> None:
    """Analyse the file, and print seconds and mebibytes as JSON."""
    from ncf.online import abtest

    source: pd.DataFrame | Path = path
    if form == "frame":
        source = pd.read_parquet(path)
    start, busy = time.perf_counter(), time.process_time()
    found = abtest(source, **_OPTIONS)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    findings = [one.finding for one in found.compared]
    print(json.dumps({"seconds": seconds, "processor": busy, "mebibytes": peak, "findings": findings}))


def main() -> None:
    """Run the rounds, forms alternated, and print the median and the range of each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--users", type=int, default=1_000_000)
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--child", type=Path)
    options.add_argument("--form", choices=FORMS, default="parquet")
    given = options.parse_args()
    if given.child:
        child(given.child, given.form)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        made(given.users, given.days).to_parquet(path, index=False)
        results: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
        for _ in range(given.rounds):
            for form in FORMS:
                command = [sys.executable, "-m", "experiments.benchmarks.online", "--child", str(path), "--form", form]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                results[form].append(json.loads(done.stdout))
    for form, rows in results.items():
        for name in ("seconds", "processor", "mebibytes"):
            values = [row[name] for row in rows]
            print(f"{form}: {name} median {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
