"""`python -m experiments.imbalance run|report`: make the runs that are missing; write the page from their rows.

The page's numbers are those of results.csv, counts.csv.gz and entities.csv.gz beside it; rows are written as each run
ends, and a run whose row is there is not made again. Run it from the root of the checkout.
"""

import argparse

from experiments.imbalance.arms import ARMS, SEEDS


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.imbalance", description=__doc__)
    parser.add_argument("stage", choices=("run", "report"))
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help=f"how many seeds to run ({len(SEEDS)})")
    options = parser.parse_args()
    if options.stage == "report":
        from experiments.imbalance import page

        page.write()
        return
    from experiments.imbalance import runs

    for seed in SEEDS[: options.seeds]:
        for arm in ARMS.values():
            runs.train(arm, seed)
            print(f"{arm.name}, seed {seed}: done", flush=True)


if __name__ == "__main__":
    main()
