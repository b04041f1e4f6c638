"""The registered runs: rankers trained, services asked, and a table of what each cell says, kept as the cell ends."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.rows import Rows, finish
from experiments.which_method.summary import summarise
from ncf.core.compose import compose
from ncf.core.outside import read_yaml
from ncf.errors import ConfigError
from ncf.runs.artifacts import ESTIMATES, read_result
from ncf.service.__main__ import service

HERE = Path(__file__).parent
REGISTRATION = Path("experiments/which_method/registration.yaml")
RUNS = Path("outputs/sweeps/which_method")
RESULTS, MODELS = HERE / "results.csv", HERE / "models.csv"
KEYS = ("pair", "users", "confounding", "method")
USUAL = 1.5  # confounding of conf/design/opt_in.yaml


@cache
def registered() -> dict[str, Any]:
    """The registration."""
    found: dict[str, Any] = read_yaml(HERE / "registration.yaml", ConfigError)
    return found


@dataclass(frozen=True)
class Cell:
    """A service asked many times.

    Attributes:
        pair: name of the two rankers.
        users: of each replication.
        confounding: of opt_in.
        replications: how many.
        designs: which are asked; all if none is named.
    """

    pair: str
    users: int
    confounding: float
    replications: int
    designs: tuple[str, ...] = ()

    @property
    def keys(self) -> dict[str, Any]:
        """What tells it from other cells in a table."""
        return {"pair": self.pair, "users": self.users, "confounding": self.confounding}

    @property
    def folder(self) -> Path:
        """Where the run is."""
        return RUNS / f"{self.pair}_{self.users}_{self.confounding}"

    @property
    def overrides(self) -> list[str]:
        """The settings of `python -m ncf.service`."""
        asked = [f"design=[{','.join(self.designs)}]"] if self.designs else []
        plan = registered()
        confounding = [f"design.opt_in.confounding={self.confounding}"] if "ab" not in self.designs else []
        settings = [s for s in plan["settings"] if not self.designs or not s.startswith("design.")]
        return [
            *asked, *pair_settings(self.pair), *settings, f"world.users={self.users}",
            f"replications={self.replications}", *confounding,
        ]  # fmt: skip


def pair_settings(pair: str, world: str | None = None) -> list[str]:
    """The settings that name the runs of a pair, or of `A/B`, and of the world."""
    plan = registered()
    first, second = plan["pairs"][pair] if pair in plan["pairs"] else pair.split("/")
    return [
        f"run={model_folder(first)}", f"against={model_folder(second)}",
        f"world.run={model_folder(world or plan['world'])}", f"seed={plan['seed']}", "device=cpu",
        f"registration={REGISTRATION}",
    ]  # fmt: skip


def model_folder(name: str) -> Path:
    """Where a ranker's run is."""
    return RUNS / "models" / name


def cells() -> list[Cell]:
    """All registered cells, the most important first."""
    plan = registered()
    found = [Cell(pair, plan["users"], USUAL, plan["replications"]) for pair in plan["pairs"]]
    grid, sizes = plan["confounding"], plan["sizes"]
    found += [
        Cell(pair, plan["users"], value, grid["replications"], ("opt_in",))
        for pair in grid["pairs"] for value in grid["values"]
    ]  # fmt: skip
    return found + [
        Cell(pair, users, USUAL, sizes["replications"]) for users in sizes["users"] for pair in sizes["pairs"]
    ]


def train() -> None:
    """Make the rankers' runs that are not there yet, and models.csv."""
    plan, rows = registered(), []
    for name, settings in plan["models"].items():
        cfg = compose([*settings, f"seed={plan['model_seed']}", "device=cpu", f"registration={REGISTRATION}"])
        finish(cfg, model_folder(name))
        result = read_result(model_folder(name))
        assert result is not None
        rows.append({
            "model": name, "ndcg@10": result["test"]["ndcg@10"], "epochs": result["epochs"],
            "config_hash": result["config_hash"], "registration": result["registration"]["sha256"],
            "commit": result["commit"],
        })  # fmt: skip
    Rows(MODELS, ["model"]).add(rows)


def ask(cell: Cell) -> list[dict[str, Any]]:
    """Make a cell's run, or read it, and return its rows."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    result = service(compose(cell.overrides, root="service"), cell.folder)
    assert result is not None
    table = pd.read_csv(cell.folder / ESTIMATES)
    found = summarise(table, registered(), halves(cell, result))
    source = {
        "seconds": result["timings"]["seconds"], "registration": result["registration"]["sha256"],
        "commit": result["commit"],
    }  # fmt: skip
    return [{**cell.keys, **row, **source} for row in found]


def halves(cell: Cell, result: dict[str, Any]) -> dict[str, float]:
    """What the real confounder does: see `summary.warned`."""
    config = result["config"]
    return {
        "share": config["design"]["opt_in"]["share"], "confounding": cell.confounding,
        "enthusiasm": config["world"]["enthusiasm"],
        "clicks": (result["value"]["run"] + result["value"]["against"]) / 2,
    }  # fmt: skip


def missing() -> Iterator[Cell]:
    """The cells that results.csv lacks."""
    rows = Rows(RESULTS, KEYS)
    return (cell for cell in cells() if not rows.has(**cell.keys))


def make(jobs: int, first: Callable[[], None]) -> None:
    """Ask every service that results.csv lacks, `jobs` at a time, and add the rows of each as it ends.

    Beside them, and before the rest of them, `first` is called.
    """
    rows = Rows(RESULTS, KEYS)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        also = pool.submit(first)
        running = {pool.submit(ask, cell): cell for cell in missing()}
        for done in as_completed(running):
            rows.add(done.result())
            print(f"{running[done].folder.name}: done", flush=True)
        also.result()
