"""The loss that the published code took, on clamped logits: our runs beside RecBole 1.2.1's, seed by seed.

    python -m experiments.recbole.clamped            make what clamped.json lacks, then write the tables into README.md
    python -m experiments.recbole.clamped --no-run   only the tables

Ours are the `focal_clamped` runs of experiments/focal_loss/results.csv; RecBole's, and how often first weights leave
every logit clamped, are in clamped.json. RecBole runs in `.venv-peers`, which is made on first use.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats

from experiments.benchmarks.peers import ROOT, peers_python
from experiments.focal_loss import clamped as report
from experiments.recbole.compare import put
from experiments.recbole.published import MARGIN
from ncf import models
from ncf.core.files import write_text
from ncf.core.rng import generator
from ncf.models.neumf import NeuMF
from ncf.report.kit.naming import label, metric_name
from ncf.report.study import load
from ncf.study import load as registration

HERE = Path(__file__).parent
KEPT, PAGE = HERE / "clamped.json", HERE / "README.md"
STUDY = ROOT / "experiments" / "focal_loss"
SIDES = ("ncf", "RecBole")
GAMMAS = {2.0: label({"loss": "focal", "gamma": 2.0, "alpha": 0.25}), 0.0: label({"loss": "alpha_bce", "alpha": 0.25})}
RATIOS, SEEDS, METRICS = (4, 10), range(42, 47), ("ndcg@10", "hit@10")
STARTS = {"ncf": 1000, "RecBole": 200}  # seeds from 0 on
USERS, ITEMS = 942, 1447
SAMPLE = 64  # users and items whose logits tell whether a start is dead, as in clamped_peer


def peer(*arguments: float | str) -> dict[str, Any]:
    """What `clamped_peer` prints, run on one thread in a folder of its own."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [peers_python(), "-m", "experiments.recbole.clamped_peer", *map(str, arguments)]
    surroundings = os.environ | one | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as scratch:  # for what RecBole leaves
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=scratch, env=surroundings)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run() -> None:
    """Make what clamped.json lacks, a run a core, and keep each piece as soon as it and those before it are done."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"dead_starts": {}, "runs": []}
    if not kept.get("dead_starts"):
        highest = {"ncf": first_logits(range(STARTS["ncf"])), "RecBole": peer("starts", STARTS["RecBole"])["highest"]}
        kept["dead_starts"] = {side: sum(value < MARGIN for value in values) for side, values in highest.items()}
        keep(kept)
    done = {(r["gamma"], r["neg_ratio"], r["seed"]) for r in kept["runs"]}
    lacking = [which for which in itertools.product(GAMMAS, RATIOS, SEEDS) if which not in done]
    peers_python()  # makes the environment once, before several runs want it
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda which: peer("run", which[1], which[0], which[2]), lacking)
        for (gamma, ratio, seed), row in zip(lacking, made, strict=True):
            kept["runs"].append(row)
            keep(kept)
            print(f"{GAMMAS[gamma]}, 1:{ratio}, seed {seed}: done", file=sys.stderr)


def keep(kept: dict[str, Any]) -> None:
    """Write clamped.json, a line a run."""
    runs = ",\n".join(json.dumps(row) for row in kept["runs"])
    write_text(KEPT, f'{{"dead_starts": {json.dumps(kept["dead_starts"])},\n"runs": [\n{runs}\n]}}\n')


def first_logits(seeds: Iterable[int]) -> list[float]:
    """The highest first logit of a sample of users and items in our NeuMF, for each seed."""
    users, items = torch.arange(SAMPLE), torch.arange(SAMPLE).expand(SAMPLE, -1)
    make = partial(NeuMF, gmf_factors=64, mlp_factors=64, hidden=[128, 64, 32], dropout=0.0)
    built = (models.build(make, USERS, ITEMS, generator(seed, "initialisation")) for seed in seeds)
    with torch.no_grad():
        return [model(users, items).max().item() for model in built]


def runs() -> pd.DataFrame:
    """A row a run of either side: side, gamma, neg_ratio, seed, learned, ndcg@10, hit@10 (test)."""
    theirs = [
        {"side": "RecBole", **{key: row[key] for key in ("gamma", "neg_ratio", "seed")}, "learned": row["moved"]}
        | {metric: row["test"][metric] for metric in METRICS}
        for row in json.loads(KEPT.read_text())["runs"]
    ]
    return pd.concat([ours(), pd.DataFrame(theirs)], ignore_index=True)


def ours() -> pd.DataFrame:
    """Our runs, from the study's tables."""
    study, parts = load(STUDY, registration(STUDY / "preregistration.yaml")), []
    for (_, arm), ratio in itertools.product(report.pairs(study), RATIOS):
        names = study.runs_of(arm, ratio).sort_index()
        learned = report.learned(study, names)
        assert learned is not None, f"{STUDY.name} has no epochs of its clamped runs"
        values = {metric: study.values(arm, ratio, f"test/{metric}") for metric in METRICS}
        part = pd.DataFrame({"learned": learned, **values}).rename_axis("seed").reset_index()
        parts.append(part.assign(side="ncf", gamma=arm["gamma"], neg_ratio=ratio))
    return pd.concat(parts, ignore_index=True)


def by_seed(table: pd.DataFrame) -> str:
    """Test NDCG@10 of every run, dead ones marked."""
    lines = [f"| loss | 1:K | | {' | '.join(map(str, SEEDS))} |", "|---|---|---|" + "---|" * len(SEEDS)]
    for gamma, ratio, side in itertools.product(GAMMAS, RATIOS, SIDES):
        own = chosen(table, gamma, ratio, side).set_index("seed")
        cells = [cell(own.loc[seed]) if seed in own.index else "not run" for seed in SEEDS]
        lines.append(f"| {GAMMAS[gamma]} | 1:{ratio} | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(row: pd.Series) -> str:
    """A run's test NDCG@10, in brackets if it never learned."""
    return f"{row['ndcg@10']:.4f}" if row["learned"] else f"({row['ndcg@10']:.4f})"


def chosen(table: pd.DataFrame, gamma: float, ratio: int, side: str) -> pd.DataFrame:
    """The rows of a loss and ratio on one side."""
    return table[(table["gamma"] == gamma) & (table["neg_ratio"] == ratio) & (table["side"] == side)]


def agreement(table: pd.DataFrame) -> str:
    """Among runs that learned: means and their difference (Welch); of all: how many are dead (Fisher's exact test).

    A loss and ratio of which a side has no run is left out.
    """
    lines = [
        "| loss | 1:K | metric | ncf | RecBole | difference / its standard error | p | dead: ncf | RecBole | p |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for gamma, ratio, metric in itertools.product(GAMMAS, RATIOS, METRICS):
        sides = [chosen(table, gamma, ratio, side) for side in SIDES]
        if any(side.empty for side in sides):
            continue
        living = [side.loc[side["learned"], metric].to_numpy() for side in sides]
        means = [f"{v.mean():.4f} ({len(v)})" if len(v) else "none" for v in living]
        counts = [(len(side) - len(v), len(side)) for side, v in zip(sides, living)]
        dead = [f"{count} of {of}" for count, of in counts]
        fisher = stats.fisher_exact([[count, of - count] for count, of in counts]).pvalue
        cells = [GAMMAS[gamma], f"1:{ratio}", metric_name(metric), *means, *welch(*living), *dead, f"{fisher:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def welch(a: Any, b: Any) -> tuple[str, str]:
    """The difference of the means of a (n,) and b (m,) in standard errors, and its p; empty with fewer than two."""
    if min(len(a), len(b)) < 2:
        return "", ""
    found = stats.ttest_ind(a, b, equal_var=False)
    return f"{found.statistic:+z.2f}", f"{found.pvalue:.2g}"


def starts() -> str:
    """How often the first weights leave every logit clamped, with a 95% interval (Wilson)."""
    dead = json.loads(KEPT.read_text())["dead_starts"]
    lines = ["| | first weights | dead | share | 95% interval |", "|---|---|---|---|---|"]
    for side in SIDES:
        interval = stats.binomtest(dead[side], STARTS[side]).proportion_ci(method="wilson")
        share = f"{dead[side] / STARTS[side]:.1%} | {interval.low:.1%} to {interval.high:.1%}"
        lines.append(f"| {side} | {STARTS[side]} | {dead[side]} | {share} |")
    fisher = stats.fisher_exact([[dead[side], STARTS[side] - dead[side]] for side in SIDES]).pvalue
    return "\n".join([*lines, "", f"Fisher's exact p of the two shares: {fisher:.2g}."])


def main() -> None:
    """Run, tabulate, and put the tables between their markers in README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-run", action="store_true", help="tabulate clamped.json as it is")
    if not parser.parse_args().no_run:
        run()
    page, table = PAGE.read_text(), runs()
    for name, text in {"seeds": by_seed(table), "agreement": agreement(table), "starts": starts()}.items():
        print(text, end="\n\n")
        page = put(text, f"clamped {name}", page)
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
