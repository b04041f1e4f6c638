"""A simulation as a run: planned from its configuration, resumed from its checkpoint, and finished."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from ncf.core.config import bind, component
from ncf.core.files import remove_temporaries, write_text
from ncf.errors import CheckpointError
from ncf.runs import artifacts, checkpoint
from ncf.runs.artifacts import PERIODS, SIMULATION, EpochLog
from ncf.runs.components import SIMULATION_GROUPS
from ncf.runs.feedback_file import FeedbackFile
from ncf.runs.identity import SimulationSettings, config_hash, registered, resolved
from ncf.runs.loading import load
from ncf.runs.plan import pick_device
from ncf.runs.resume import refuse_changes
from ncf.simulation import AGENTS, COLUMNS, ENVIRONMENTS, SECONDS, Agent, Environment, Period, Simulation
from ncf.simulation.loop import Line

Result = dict[str, Any]
_USERS_AT_ONCE = 4096


class SimulationCheckpoint(checkpoint.Record):
    """The content of a simulation's checkpoint.

    Attributes:
        world: SHA-256 of what the users of the world can have at best, by which another world is told apart.
        history: the line of each period so far.
        agent: what it has learned.
        environment: what it cannot compute again.
    """

    world: str
    history: list[dict[str, int | float]]
    agent: dict[str, Tensor]
    environment: dict[str, Tensor]


@dataclass(frozen=True)
class SimulationPlan:
    """The checked components of a simulation; nothing has been made yet.

    Attributes:
        settings: all settings, as the result records them.
        run: the top-level keys of conf/simulate.yaml.
    """

    settings: dict[str, Any]
    run: SimulationSettings
    environment: partial[Environment]
    agent: partial[Agent]


def plan_simulation(cfg: DictConfig) -> SimulationPlan:
    """Return the plan for `cfg`. Raises ConfigError, naming the key, for anything unknown, missing or out of range."""
    settings = resolved(cfg)
    own = {key: value for key, value in settings.items() if key not in SIMULATION_GROUPS}
    run = bind("", SimulationSettings, own)()
    environment, agent = (
        component(registry.group, registry, settings.get(registry.group) or {}) for registry in (ENVIRONMENTS, AGENTS)
    )
    return SimulationPlan(settings, run, environment, agent)


@dataclass(frozen=True)
class SimulationJob:
    """A simulation that is ready to run or to go on."""

    folder: Path
    plan: SimulationPlan
    simulation: Simulation
    world: str
    registration: dict[str, str] | None

    def run(self) -> Result | None:
        """Simulate to the end and write the result, `result.json` last; return None if stopped."""
        return self.finish() if self.simulation.run() else None

    def finish(self) -> Result:
        """Write the result of all periods."""
        plan, history = self.plan, self.simulation.history
        result = {
            "kind": SIMULATION,
            "regret": _summary(history, "regret"),
            "best_item_regret": _summary(history, "best_item_regret"),
            "periods": len(history),
            "agent_sha256": checkpoint.digest(self.simulation.agent.state()),
            "world_sha256": self.world,
            "seed": plan.run.seed,
            "config": plan.settings,
            "config_hash": config_hash(plan.settings),
            "registration": self.registration,
            "device": str(self.simulation.agent.device),
            "timings": {key: sum(line[key] for line in history) for key in SECONDS},
            **artifacts.environment(),
        }
        artifacts.write_result(self.folder, result)
        return result


def _summary(history: list[Line], column: str) -> dict[str, float]:
    values = [line[column] for line in history]
    return {"mean": sum(values) / len(values), "cumulative": sum(values), "last": values[-1]}


def open_simulation(plan: SimulationPlan, folder: Path, stopped: Callable[[], bool]) -> SimulationJob | Result:
    """Open the simulation of `plan` at its first period or its checkpoint; return its result if it is finished.

    Raises:
        ConfigError: settings do not go together, or this machine does not support them.
        DataError: the run that a world is made from cannot be read.
        CheckpointError: `folder` holds another simulation, or no checkpoint that can be read.
    """
    run, device = plan.run, pick_device(plan.run.device)
    registration = registered(run.registration)
    torch.set_num_threads(run.threads)
    saved, finished = checkpoint.load_as(SimulationCheckpoint, folder), artifacts.read_result(folder)
    for found in filter(None, (saved and saved.settings, finished and finished["config"])):
        refuse_changes(folder, plan.settings, found)
    if finished is not None and finished["config_hash"] == config_hash(plan.settings):
        return finished
    environment: Environment = plan.environment(run.seed, _scores_of, device)
    agent: Agent = plan.agent(environment.num_users, environment.num_items, run.seed, environment.device)
    simulation = Simulation(environment, agent, run.periods, stopped=stopped, save_seconds=run.save_every)
    world = _digest_of(environment)
    if saved is not None:
        _restore(simulation, saved, world, folder)
    remove_temporaries(folder)
    _write_down(simulation, plan, folder, world)
    return SimulationJob(folder, plan, simulation, world, registration)


def _digest_of(environment: Environment) -> str:
    return checkpoint.digest(environment.best(torch.arange(environment.num_users, device=environment.device)))


def _restore(simulation: Simulation, saved: SimulationCheckpoint, world: str, folder: Path) -> None:
    """Go on from a checkpoint. Raises CheckpointError if it is of another world, or longer than the simulation."""
    if saved.world != world:
        raise CheckpointError(f"{folder}: cannot resume in another world than it was started in: its run has changed")
    if len(saved.history) > simulation.periods:
        raise CheckpointError(
            f"{folder}: {len(saved.history)} periods are done, expected at most periods={simulation.periods}; "
            "start it in another folder"
        )
    with checkpoint.understood(folder):
        simulation.load(dict(saved))
    checkpoint.set_damaged_aside(folder, saved)


def _write_down(simulation: Simulation, plan: SimulationPlan, folder: Path, world: str) -> None:
    """Make `simulation` write its periods, its log and its checkpoints to `folder`."""
    epochs = EpochLog(folder, [_finite(line) for line in simulation.history])
    log = FeedbackFile(folder, str(plan.settings["agent"]["name"]), simulation.history) if plan.run.log else None
    bar = tqdm(total=plan.run.periods, initial=len(simulation.history), unit=" periods", disable=not plan.run.progress)

    def record(line: Line, period: Period) -> None:
        """Write down a period, and show it."""
        epochs.append(_finite(line))
        if log is not None:
            log.append(period)
        bar.set_postfix_str(f"regret {line['regret']:.4f}")
        bar.update()

    def save(state: dict[str, Any]) -> None:
        write_periods(folder, simulation.history)
        checkpoint.save(folder, {"settings": plan.settings, "world": world, **state})
        if len(simulation.history) == simulation.periods or simulation.stopped():
            bar.close()

    simulation.record, simulation.save = record, save


def write_periods(folder: Path, history: list[Line]) -> None:
    """Write `periods.csv`, a row for each period."""
    table = pd.DataFrame(history, columns=list(COLUMNS))
    write_text(folder / PERIODS, table.to_csv(index=False, lineterminator="\n"))


def _finite(line: Line) -> Line:
    """Return the line without what is not known: JSON has no NaN."""
    return {key: value for key, value in line.items() if not math.isnan(value)}


@torch.no_grad()
def _scores_of(run: str) -> Tensor:
    """Return the scores (U, I) of a finished run. Raises DataError or CheckpointError if it cannot be loaded."""
    loaded = load(run)
    users = torch.arange(loaded.split.num_users)
    return torch.cat([loaded.model.score(part) for part in users.split(_USERS_AT_ONCE)])
