"""Five seeds of NeuMF with BCE against five of RecBole 1.2.1 under the same protocol, as a Markdown table.

    python experiments/recbole/compare.py            run what is missing, then write the table into README.md
    python experiments/recbole/compare.py --no-run   only the table, from results.csv

`recbole.json` holds RecBole's runs. Ours go to outputs/sweeps/recbole/ and, one row each, to results.csv.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from ncf.launch.hydra_app import table as result_table

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SWEEP = ROOT / "outputs" / "sweeps" / "recbole"
METRICS = ("ndcg@10", "hit@10")
PARTS = ("valid", "test")


def run() -> pd.DataFrame:
    """Train the ten runs that are not there yet; a row each."""
    command = [sys.executable, "-m", "ncf.train", "-m", "seed=42,43,44,45,46", "neg_ratio=10,4", "loss=bce"]
    subprocess.run([*command, "trainer.progress=false", f"hydra.sweep.dir={SWEEP}"], cwd=ROOT, check=True)
    results = [json.loads(path.read_text()) for path in sorted(SWEEP.glob("*/result.json"))]
    rows = [
        {
            "neg_ratio": r["config"]["neg_ratio"],
            "seed": r["seed"],
            **{f"{part}/{name}": value for part in PARTS for name, value in r[part].items()},
            "best_epoch": r["best_epoch"],
            "commit": r["commit"],
            "config_hash": r["config_hash"][:12],
        }
        for r in results
    ]
    return pd.DataFrame(rows).sort_values(["neg_ratio", "seed"])


def peer() -> pd.DataFrame:
    """RecBole's runs, a row each."""
    runs = json.loads((HERE / "recbole.json").read_text())["runs"]
    return pd.DataFrame([{"neg_ratio": r["neg_ratio"], "seed": r["seed"], **r["test"]} for r in runs])


def table(ours: pd.DataFrame) -> str:
    """Mean and standard deviation of both, and their difference in standard errors (Welch)."""
    lines = ["| 1:K | metric | ncf | RecBole 1.2.1 | difference / its standard error |", "|---|---|---|---|---|"]
    theirs = peer()
    for ratio in (4, 10):
        for metric in METRICS:
            a = ours.loc[ours.neg_ratio == ratio, f"test/{metric}"]
            b = theirs.loc[theirs.neg_ratio == ratio, metric]
            error = (a.var() / len(a) + b.var() / len(b)) ** 0.5
            cells = [f"{x.mean():.4f} ± {x.std():.4f}" for x in (a, b)]
            lines.append(f"| 1:{ratio} | {metric} | {' | '.join(cells)} | {(a.mean() - b.mean()) / error:+.2f} |")
    seeds = ", ".join(map(str, sorted(ours.seed.unique())))
    return "\n".join([*lines, "", f"Test metrics, mean ± standard deviation over seeds {seeds}."])


def default_run(ours: pd.DataFrame) -> str:
    """What `make train` prints, from the run with the default settings."""
    row = ours[(ours.neg_ratio == 10) & (ours.seed == 42)].iloc[0]
    parts = {part: {c.removeprefix(f"{part}/"): row[c] for c in ours if c.startswith(f"{part}/")} for part in PARTS}
    return f"```\n{result_table(parts)}\n```"


def put(text: str, name: str, page: str) -> str:
    """`page` with `text` between the markers called `name`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"README.md has no markers {begin} and {end}"
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> None:
    """Run, tabulate, and put the tables between their markers in README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-run", action="store_true", help="tabulate results.csv as it is")
    if not parser.parse_args().no_run:
        run().to_csv(HERE / "results.csv", index=False, float_format="%.6f", lineterminator="\n")
    ours = pd.read_csv(HERE / "results.csv")
    text = table(ours)
    print(text)
    readme = ROOT / "README.md"
    page = put(text, "recbole table", readme.read_text())
    readme.write_text(put(default_run(ours), "default run", page))


if __name__ == "__main__":
    main()
