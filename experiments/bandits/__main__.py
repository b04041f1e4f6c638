"""`python -m experiments.bandits [stage ...]`: run the registered comparison of all agents, and write its page.

Stages, all in this order if none is named: run (400 simulations, about an hour of one free core), tables (results.csv,
curves.csv, comparisons.csv from the runs that are finished), page (README.md and figures from these files). Each goes
on where it was stopped. Run it from the root of the checkout.
"""

import argparse

STAGES = ("run", "tables", "page")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bandits", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all if none is named")
    parser.add_argument("--seeds", type=int, help="the first so many of the registered ones; all if not given")
    parser.add_argument("--jobs", type=int, default=-1, help="processes that simulate; -1 for one a core")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"expected stages of {', '.join(STAGES)}, got {', '.join(sorted(unknown))}")
    stages = options.stages or STAGES
    if "run" in stages:
        from experiments.bandits.runs import simulate

        simulate(options.jobs, options.seeds)
    if "tables" in stages:
        from experiments.bandits.tables import write

        write()
    if "page" in stages:
        from experiments.bandits import page

        page.write()


if __name__ == "__main__":
    main()
