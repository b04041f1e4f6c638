"""A service as a run: planned from its configuration, asked over its replications, and written down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from ncf.core.config import bind, component
from ncf.core.files import remove_temporaries, write_text
from ncf.core.formats import plain
from ncf.data import feedback
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.runs import artifacts
from ncf.runs.artifacts import ESTIMATES, FEEDBACK, SERVICE
from ncf.runs.components import SERVICE_GROUPS
from ncf.runs.identity import ServiceSettings, changes, config_hash, registered, resolved
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import load
from ncf.runs.plan import pick_device
from ncf.runs.ranks_file import metrics_of, read_ranks
from ncf.service import DESIGNS, POLICIES, WORLDS, Design, Policy, Pool, Rankers, Sample, Service, World, samples
from ncf.service.designs.off_policy import OffPolicy
from ncf.service.tables import ask, summary

Result = dict[str, Any]
_USERS_AT_ONCE = 4096
_METRIC = "ndcg@10"


@dataclass(frozen=True)
class ServicePlan:
    """The checked components of a service; nothing has been read yet.

    Attributes:
        settings: all settings, as the result records them.
        run: the top-level keys of conf/service.yaml.
        designs: by name, in the order asked for.
    """

    settings: dict[str, Any]
    run: ServiceSettings
    world: World
    policy: Policy
    designs: Mapping[str, Design]


def plan_service(cfg: DictConfig) -> ServicePlan:
    """Return the plan for `cfg`. Raises ConfigError, naming the key, for anything unknown, missing or out of range."""
    settings = resolved(cfg)
    run = bind("", ServiceSettings, {k: v for k, v in settings.items() if k not in SERVICE_GROUPS})()
    world, policy = (component(r.group, r, settings.get(r.group) or {})() for r in (WORLDS, POLICIES))
    asked = settings.get("design") or {}
    if not asked:
        raise ConfigError(f"design: expected some of {', '.join(DESIGNS)}, got none")
    if unknown := next((name for name in asked if name not in DESIGNS), None):
        raise ConfigError(f"design: expected some of {', '.join(DESIGNS)}, got {unknown!r}")
    designs = {name: bind(f"design.{name}", DESIGNS[name], own or {})() for name, own in asked.items()}
    if (run.run is None) != (run.against is None):
        raise ConfigError("run, against: expected the folders of two finished runs, got one")
    if run.log != "none" and "off_policy" not in designs:
        raise ConfigError(f"log: expected design=off_policy, whose log is kept, got log={run.log} without it")
    return ServicePlan(settings, run, world, policy, designs)


@dataclass(frozen=True)
class ServiceJob:
    """A service that is ready to be asked."""

    folder: Path
    plan: ServicePlan
    service: Service
    registration: dict[str, str] | None
    stopped: Callable[[], bool]

    def run(self) -> Result | None:
        """Ask every design in every replication and write the result, `result.json` last; return None if stopped."""
        begun, run = perf_counter(), self.plan.run
        tables: list[pd.DataFrame] = []
        bar = tqdm(total=run.replications, unit=" replications", disable=not run.progress)
        for sample in samples(self.service, run.replications):
            if self.stopped():
                bar.close()
                return None
            tables.append(ask(self.plan.designs, sample, run.margin))
            bar.update(len(sample))
        bar.close()
        if run.log != "none":
            self._log(Sample(self.service, range(1)))  # drawn again, so that a stopped run keeps nothing
        return self._finish(pd.concat(tables, ignore_index=True), perf_counter() - begun)

    def _log(self, sample: Sample) -> None:
        design = self.plan.designs["off_policy"]
        assert isinstance(design, OffPolicy)
        feedback.write(design.feedback(sample), _log_file(self.folder, self.plan))

    def _finish(self, table: pd.DataFrame, seconds: float) -> Result:
        of_a, of_b = (float(value.mean()) for value in self.service.values)
        result = {
            "kind": SERVICE,
            "effect": self.service.effect,
            "value": {"run": of_a, "against": of_b},
            "replications": self.plan.run.replications,
            "methods": plain(summary(table).to_dict("records")),
            "seed": self.plan.run.seed,
            "config": self.plan.settings,
            "config_hash": config_hash(self.plan.settings),
            "registration": self.registration,
            "device": str(self.service.device),
            "timings": {"seconds": seconds},
            **artifacts.environment(),
        }
        write_text(self.folder / ESTIMATES, table.to_csv(index=False, lineterminator="\n"))
        artifacts.write_result(self.folder, result)
        return result


def open_service(plan: ServicePlan, folder: Path, stopped: Callable[[], bool]) -> ServiceJob | Result:
    """Make the service of `plan`; return its result if `folder` holds it finished.

    Raises:
        ConfigError: settings do not go together, or this machine does not support them.
        DataError: a run cannot be read, or the runs have other data.
        CheckpointError: `folder` holds another run.
    """
    run, device = plan.run, pick_device(plan.run.device)
    registration = registered(run.registration)
    torch.set_num_threads(run.threads)
    finished = artifacts.read_result(folder)
    if finished is not None:
        if changed := changes(finished["config"], plan.settings):
            what = "; ".join(f"{key}: {how}" for key, how in changed.items())
            raise CheckpointError(f"{folder}: holds a service with other settings ({what}); choose another folder")
        if run.log != "none" and not _log_file(folder, plan).exists():
            raise CheckpointError(f"{folder}: holds this service without log={run.log}; choose another folder")
        return finished
    two = _Two(run.run, run.against) if run.run is not None and run.against is not None else None
    made = Service(plan.world, _no_pool(), plan.policy, run.days, run.before, run.seed, device)
    for design in plan.designs.values():
        design.check(made)  # before minutes of loading
    pool = plan.world.pool(None if two is None else two.rankers, run.seed)
    plan.world.refuse_certain(pool)
    pool = Pool(*(part.to(device) for part in (pool.items, pool.relevance, pool.first, pool.second)))
    service = Service(
        plan.world, pool, plan.policy, run.days, run.before, run.seed, device, None if two is None else two.offline
    )  # fmt: skip
    remove_temporaries(folder)
    return ServiceJob(folder, plan, service, registration, stopped)


def _log_file(folder: Path, plan: ServicePlan) -> Path:
    return (folder / FEEDBACK).with_suffix(f".{plan.run.log}")


def _no_pool() -> Pool:
    return Pool(*(torch.zeros(0, 0) for _ in range(4)))


class _Two:
    """The runs A and B."""

    def __init__(self, run: str, against: str) -> None:
        self._folders, self._loaded = (run, against), [load(run), load(against)]
        _refuse_other_data(self._loaded[0], self._loaded[1])

    @property
    def rankers(self) -> Rankers:
        """What worlds are made from. Raises DataError or CheckpointError if scores cannot be made."""
        first, second = map(_scores, self._loaded)
        seen = torch.from_numpy(np.asarray(self._loaded[0].seen.todense()) > 0)
        return Rankers(first, second, seen, self._others)

    def _others(self, folder: str) -> Tensor:
        loaded = load(folder)
        _refuse_other_data(self._loaded[0], loaded)
        return _scores(loaded)

    @cached_property
    def offline(self) -> Tensor | None:
        """NDCG@10 of the test positives of both, (2, positives); None if they were not evaluated alike or with it."""
        tables = []
        for loaded in self._loaded:
            ranks = read_ranks(loaded.folder, "test")
            metrics = metrics_of(loaded.folder, ranks, loaded.result, "test")
            if _METRIC not in metrics:
                return None
            tables.append(ranks[["user_id", "item_id"]].assign(value=metrics[_METRIC]))
        both = tables[0].merge(tables[1], on=["user_id", "item_id"])
        by_user = both.groupby("user_id", sort=True)[["value_x", "value_y"]].mean()
        return torch.from_numpy(by_user.to_numpy(np.float64).T.copy())


def _refuse_other_data(first: LoadedRun, other: LoadedRun) -> None:
    if first.split.digest != other.split.digest:
        raise DataError(
            f"{other.folder}: expected a run on the data of {first.folder} ({first.split.digest[:16]}), found "
            f"{other.split.digest[:16]}; compare runs of one data set and split"
        )


def _scores(loaded: LoadedRun) -> Tensor:
    """Return the scores (U, I) of a run. Raises CheckpointError for scores that are not finite."""
    loaded.refuse_unsound()
    users = np.arange(loaded.split.num_users)
    parts = np.array_split(users, max(1, -(-len(users) // _USERS_AT_ONCE)))
    return torch.cat([loaded._scores(part) for part in parts])
