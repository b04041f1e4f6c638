"""Addressed randomness: a stream is a pure function of (seed, purpose, epoch, block).

No stream depends on how many numbers were drawn before. Runs with the same seed and different losses therefore see the
same initial weights, batches and negatives, and a resumed or stacked run sees the same as a solo run.
"""

import hashlib
from typing import Literal

import numpy as np
import torch

Purpose = Literal[
    "initialisation", "shuffle", "negatives", "synthetic", "evaluation", "dropout", "check",
    "world", "requests", "drift", "noise", "exploration", "learning",
    "users", "sessions", "clicks", "assignment",
]  # fmt: skip
"""What a stream is for; those of the second line are a simulation's, whose epoch is the period, and those of the last a
service's, whose epoch is the replication."""


def generator(
    seed: int, purpose: Purpose, epoch: int = 0, block: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator on `device` for the stream at this address; equal addresses give equal numbers."""
    return torch.Generator(device).manual_seed(_state(f"{seed}/{purpose}/{epoch}/{block}") >> 1)


def numpy_generator(seed: int, address: str) -> np.random.Generator:
    """Return NumPy's generator for the stream at `address`, such as the name of a comparison to be bootstrapped."""
    return np.random.default_rng(_state(f"{seed}/{address}"))


def _state(address: str) -> int:
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=8).digest(), "little")
