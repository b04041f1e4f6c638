"""`python -m experiments.benchmarks [subject ...]`: the comparisons, one core unless they say otherwise."""

import argparse
from collections.abc import Callable

import torch

from experiments.benchmarks import fits, focal, gpu, sampler, training
from experiments.benchmarks.harness import Comparison, machine, save, tabulate
from experiments.benchmarks.peers import peers_python

SUBJECTS: dict[str, Callable[[str, int], list[Comparison]]] = {
    "epochs": training.epochs,
    "ranking": training.ranking,
    "sweep": training.sweep,
    "sampler": sampler.sampler,
    "focal": focal.focal,
    "fits": fits.fits,
    "stacked": training.stacked,
    "roof": training.roof,
    "threads": training.threads,
    "chunks": training.chunks,
    "gpu": gpu.gpu,
}


def main() -> None:
    """Run the subjects named on the command line, all if none is."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", metavar="subject", help=f"of {', '.join(SUBJECTS)}; all if none is named"
    )
    parser.add_argument("--rounds", type=int, default=7, help="alternations of each comparison (at least 2)")
    parser.add_argument("--peers", help="a Python with the pins of peers.txt; .venv-peers is made if none is given")
    arguments = parser.parse_args()
    if unknown := set(arguments.subjects) - set(SUBJECTS):
        parser.error(f"expected subjects of {', '.join(SUBJECTS)}, got {', '.join(sorted(unknown))}")
    if arguments.rounds < 2:
        parser.error(f"--rounds: expected at least 2, got {arguments.rounds}")
    peers = arguments.peers or peers_python()
    print("ratio: the other side's time over ours, median [least, most] over the rounds")
    for name in arguments.subjects or SUBJECTS:
        if name == "gpu" and not torch.cuda.is_available():
            print("gpu: not measured (no CUDA device)")
            continue
        on = machine()
        save(name, SUBJECTS[name](peers, arguments.rounds), on)
        tabulate()


if __name__ == "__main__":
    main()
