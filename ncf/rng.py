"""Addressed randomness: a stream is a pure function of (seed, purpose, epoch, block).

Nothing depends on how many numbers were drawn before. Runs with one seed and different losses therefore see the
same initial weights, batches and negatives, and a resumed or stacked run sees what a solo run would.
"""

import hashlib
from typing import Literal

import torch

Purpose = Literal["initialisation", "shuffle", "negatives", "synthetic", "evaluation", "dropout"]


def generator(
    seed: int, purpose: Purpose, epoch: int = 0, block: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator on `device` for the stream at this address; equal addresses give equal numbers."""
    address = f"{seed}/{purpose}/{epoch}/{block}".encode()
    state = int.from_bytes(hashlib.blake2b(address, digest_size=8).digest(), "little")
    return torch.Generator(device).manual_seed(state >> 1)
