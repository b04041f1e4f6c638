"""`python -m experiments.multitask run|report`: make the runs that are missing; write the page from their rows.

The page's numbers are those of results.csv, epochs.csv and baselines.csv beside it; rows are written as each run ends,
and a run whose row is there is not made again. Run it from the root of the checkout.
"""

import argparse

from experiments.multitask.arms import ARMS, SEEDS


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.multitask", description=__doc__)
    parser.add_argument("stage", choices=("run", "report"))
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help=f"how many seeds to run ({len(SEEDS)})")
    parser.add_argument("--arms", default=",".join(ARMS), help="which arms to run (a,b; all)")
    options = parser.parse_args()
    if unknown := set(options.arms.split(",")) - set(ARMS):
        parser.error(f"expected arms of {', '.join(ARMS)}, got {', '.join(sorted(unknown))}")
    if options.stage == "report":
        from experiments.multitask import page  # matplotlib

        page.write()
        return
    from experiments.multitask import runs

    arms = [ARMS[name] for name in options.arms.split(",")]
    for seed in SEEDS[: options.seeds]:
        for arm in arms:
            runs.train(arm, seed)
            runs.measure_baselines(arm, seed)
            print(f"{arm.name}, seed {seed}: done", flush=True)


if __name__ == "__main__":
    main()
