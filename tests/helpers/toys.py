"""What the tests of the core build with: small splits, configurations, and runs of the command line."""

import copy
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ncf.core.compose import CONF
from ncf.core.compose import compose as composed
from ncf.core.config import component
from ncf.data.split import Pairs, Split
from ncf.losses import LOSSES, AnyLoss
from ncf.runs.artifacts import write_result

# A run of about a second: 60 users, 80 items, 1,500 positives, three epochs of 24 steps.
SMALL = (
    "data=synthetic", "data.users=60", "data.items=80", "data.interactions=1500", "trainer.epochs=3",
    "trainer.progress=false", "trainer.batch_size=660", "device=cpu",
    "model.gmf_factors=8", "model.mlp_factors=8", "model.hidden=[16,8]",
)  # fmt: skip

# The keys of TrainerSettings that change nothing, or only how a step is computed.
PLAIN: dict[str, Any] = {
    "fast": False,
    "compile": False,
    "cuda_graph": "auto",
    "precision": "float32",
    "progress": False,
}

# Values for the keys that no YAML can have a default for.
REQUIRED = {
    "archive": "some.csv",
    "candidates": 40,
    "pretrained_gmf": "gmf",
    "pretrained_mlp": "mlp",
    "parts": ["a", "b"],
}


def pairs(rows: Iterable[tuple[int, int]]) -> Pairs:
    """Pairs of (user, item) rows."""
    users, items = np.array(list(rows), np.int64).reshape(-1, 2).T
    return Pairs(users, items)


def random_split(users: int, items: int, seed: int = 0, held_out: int = 1) -> Split:
    """Each user: of a random order of items, `held_out` are test, as many validation, and a random number train."""
    rng = np.random.default_rng(seed)
    train, valid, test = [], [], []
    for user in range(users):
        order = [(user, item) for item in rng.permutation(items).tolist()]
        test += order[:held_out]
        valid += order[held_out : 2 * held_out]
        train += order[2 * held_out : 2 * held_out + rng.integers(1, items - 2 * held_out)]
    ids = np.arange(users) + 100, np.arange(items) + 1000
    return Split(pairs(train), pairs(valid), pairs(test), users, items, *ids, None, None, "toy", "0" * 64)


def keys_of(group: str, name: str) -> dict[str, Any]:
    """The keys of conf/<group>/<name>.yaml, those that have no default filled in."""
    keys = OmegaConf.to_container(_loaded(group, name))
    assert isinstance(keys, dict)
    if group == "design":  # whose files hold their keys under the name, since several may be chosen
        keys = {"name": name, **keys[name]}
    missing = {key for key, value in keys.items() if value == "???"}
    return {str(key): value for key, value in keys.items()} | {key: REQUIRED[key] for key in missing}


@functools.cache
def _loaded(group: str, name: str) -> Any:
    return OmegaConf.load(CONF / group / f"{name}.yaml")


def loss_named(name: str) -> AnyLoss:
    """The loss as conf/loss/<name>.yaml sets it."""
    loss: AnyLoss = component("loss", LOSSES, keys_of("loss", name))()
    return loss


def compose(*overrides: str) -> DictConfig:
    """The configuration of `python -m ncf.train` with these overrides; each is composed once, which takes 0.1 s."""
    return copy.deepcopy(_composed_once(overrides))


@functools.cache
def _composed_once(overrides: tuple[str, ...]) -> DictConfig:
    return composed(overrides)


def small(root: Path, *overrides: str) -> tuple[str, ...]:
    """The overrides of a run of about a second, its data below `root`."""
    return (*SMALL, f"data.root='{root}'", *overrides)


def command(*arguments: str) -> list[str]:
    """The command line of a training run."""
    return [sys.executable, "-m", "ncf.train", *arguments]


def run(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m ncf.train` with these arguments, to its end."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=240, check=False
    )


def finished(folder: Path) -> None:
    """The least result that counts as one."""
    write_result(
        folder, {"valid": {"mrr": 0.5}, "test": {"mrr": 0.5}, "config": {}, "config_hash": "", "data_digest": ""}
    )


def replayed(step: Callable[[], None]) -> Callable[[], None]:
    """What capturing a CUDA graph does, on the CPU: some steps to warm up, one to record, the same at each replay."""
    for _ in range(4):
        step()
    return step


def same(a: object, b: object) -> bool:
    """Whether nested dicts, lists, tensors and primitives are equal to the bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return a == b
