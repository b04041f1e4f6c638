"""A run on several processes: what `ncf.runs.job` does for one. All of them go through every function here."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ncf.core.files import remove_temporaries
from ncf.core.rng import generator
from ncf.data import shards
from ncf.data.parts import HeldOut, Part, Parts, Whole
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.evaluation import FullRanking, Ranks
from ncf.losses import JointLoss, needs
from ncf.runs import artifacts, checkpoint, resume
from ncf.runs.checkpoint import Checkpoint
from ncf.runs.identity import config_hash, registered
from ncf.runs.job import Job, Result, set_up_torch
from ncf.runs.plan import RunPlan, pick_device, refuse_without_cuda
from ncf.runs.tracking import NoTracker
from ncf.training.batches import groups_per_batch
from ncf.training.samplers import (
    NegativeSampler,
    popularity,
    refuse_users_of_everything,
    sampler_for,
    uniform,
)

try:
    from ncf.runs import sharded_file
    from ncf.training import distributed as on
except ImportError as error:  # nothing of torchrec is imported elsewhere
    raise ConfigError(
        f"trainer.sharding: trainer=distributed needs torchrec, which is not there ({error}): "
        "pip install 'ncf[distributed]' && pip install --no-deps torchrec==1.8.0 fbgemm-gpu-cpu==1.8.0"
    ) from None

log = logging.getLogger(__name__)

_ASSEMBLED = 2**32  # bytes; the weights of a larger model are not written as one file at the end
_ROWS_AT_ONCE = 2**18


@dataclass(frozen=True)
class GroupJob(Job):
    """A run on the processes of `group` that is ready to train or to resume."""

    group: on.Group
    data: Parts

    def fit(self) -> bool:
        """Train to the end; return False if interrupted. Raises LostError if a process is gone."""
        with on.as_lost(self.group, _again(self.folder)):
            return self.trainer.fit()

    def finish(self) -> Result:
        """Rank the held-out positives on all processes; rank 0 writes what a run on one process leaves."""
        with on.as_lost(self.group, _again(self.folder)):
            return self._finish()

    def _finish(self) -> Result:
        model, evaluation = self.trainer.model, self.plan.evaluation
        assert isinstance(model, on.ShardedModel)
        ranks: dict[str, Ranks] = {}
        for part in get_args(HeldOut):
            with on.agreed(self.group):
                targets = on.targets_of(self.data, part, evaluation, self.group)
            ranks[part] = on.evaluate(evaluation, model, targets, self.group)
        weights = self._assembled(model)
        result: Result = {}
        with on.agreed(self.group):
            if self.group.rank == 0:
                if weights is not None:
                    progress = dict(vars(self.trainer.progress))
                    own = {"settings": self.plan.settings, "data_digest": self.split.digest, "progress": progress}
                    checkpoint.save(self.folder, {**own, "best": weights})
                result = self.write(ranks, None if weights is None else checkpoint.digest(weights))
        return result

    def _assembled(self, model: on.ShardedModel) -> dict[str, Tensor] | None:
        """Return all weights, as a run on one process saves them, in rank 0; None if they are too many for one file."""
        shapes = {} if model.tables is None else model.tables.shapes
        if sum(4 * shape.rows * shape.columns for shape in shapes.values()) > _ASSEMBLED:
            log.warning("the weights are too many for one file: they stay in %s", self.folder / sharded_file.NEWEST)
            return None
        return model.assembled(self.group, _ROWS_AT_ONCE)


def open_job(plan: RunPlan, folder: Path, stopped: Callable[[], bool]) -> Job | Result:
    """Open the run of `plan`, as `ncf.runs.job.open_job` does, on all processes; `folder` is that of rank 0.

    Raises:
        ConfigError: the settings do not suit several processes.
        DataError, CheckpointError: as for one process.
        LostError: a process is gone.
    """
    group = on.Group.join(pick_device(plan.run.device))
    with on.as_lost(group, "the same command"):
        return _opened(plan, Path(group.from_first(str(folder.resolve()))), stopped, group)


def _opened(plan: RunPlan, folder: Path, stopped: Callable[[], bool], group: on.Group) -> Job | Result:
    with on.agreed(group):
        _refuse_unsupported(plan, group)
        refuse_without_cuda(plan, group.device)
        registration = registered(plan.run.registration)
        set_up_torch(plan)
        path = group.from_first(sharded_file.newest(folder))
        state = None if path is None else sharded_file.read_state(path)
        saved = None if state is None else _as_checkpoint(state, folder)
        finished = artifacts.read_result(folder)
        done = finished is not None and finished["config_hash"] == config_hash(plan.settings)
        if not done:
            _refuse_other_kind(folder, path)
            _refuse_other_tables(folder, saved, plan)
        history = resume.history(folder, saved, finished, plan)
    if done and finished is not None:
        return finished
    data = _data(plan, group)
    split = data.outline
    with on.agreed(group):
        refuse_users_of_everything(data.own(data.part(group.rank, group.size)))
        plan.evaluation.check(split.num_items)
        resume.refuse_other_data(folder, saved, split)
        first = group.rank == 0
        if first:
            log.info("training on processes: %d (trainer.sharding=%s)", group.size, plan.trainer.sharding)
            remove_temporaries(folder)
        record = artifacts.EpochLog(folder, history).append if first else _nothing
    trainer = _trainer(plan, data, group, folder, record, stopped)
    if path is not None and state is not None and saved is not None:
        with on.agreed(group), checkpoint.understood(folder):
            _restore(trainer, path, state, saved)
        if first:
            log.info("resuming at epoch %d, step %d", trainer.progress.epoch, trainer.progress.step)
    plan = plan if first else replace(plan, tracking=NoTracker())
    return GroupJob(folder, plan, split, trainer, registration, group, data)


def _data(plan: RunPlan, group: on.Group) -> Parts:
    """Return the data of the run: its shards if there are any, else the whole of it.

    A sampler of one's own may look at all users, and so has the whole.

    Raises:
        DataError: the data is missing or damaged, or the processes have different data.
    """
    with on.agreed(group):
        place = shards.address(plan.settings, plan.data, plan.split) if "root" in plan.data.keywords else None
        data: Parts | None = shards.find(place) if place is not None and _knows_users(plan.sampler) else None
        if isinstance(data, shards.Shards) and group.rank == 0:
            log.info("reading the shards in %s", data.folder)
        data = data or Whole(plan.split(plan.data()))
    digest = group.from_first(data.outline.digest)
    with on.agreed(group):
        if data.outline.digest != digest:
            raise DataError(
                f"{data.outline.name}: expected the data of rank 0 (digest {digest[:16]}), found other data"
            )
    return data


def _knows_users(sampler: partial[Any]) -> bool:
    """Return whether a sampler draws for some users as it does for all."""
    return sampler.func in (uniform, popularity)


def _sampler(plan: RunPlan, data: Parts, part: Part, device: torch.device) -> tuple[NegativeSampler, int]:
    """Return a sampler for the users of `part`, and the user that it knows by 0.

    Raises:
        DataError: a user has nothing to draw.
    """
    if _knows_users(plan.sampler):
        return sampler_for(plan.sampler, data.own(part), device), part.first_user
    return sampler_for(plan.sampler, data.outline, device), 0


def _nothing(line: dict[str, float]) -> None:
    pass


def _again(folder: Path) -> str:
    return f"torchrun --nproc-per-node=<processes> -m ncf.train resume={folder}"


def _refuse_unsupported(plan: RunPlan, group: on.Group) -> None:
    """Raise ConfigError for settings that do not suit several processes."""
    on.refuse_model(plan.model, plan.settings["model"]["name"])
    on.refuse_optimizer(plan.settings["optimizer"])
    if isinstance(plan.loss, JointLoss):
        raise ConfigError(f"loss: expected one of logits with trainer=distributed, got {plan.settings['loss']['name']}")
    if type(plan.evaluation) is not FullRanking:
        raise ConfigError("evaluation: expected full with trainer=distributed")
    for key in ("compile", "cuda_graph"):
        if getattr(plan.trainer, key) is True:
            raise ConfigError(f"trainer.{key}: expected false with trainer=distributed, got True")
    if plan.trainer.precision != "float32":
        raise ConfigError(f"trainer.precision: expected float32 with trainer=distributed, got {plan.trainer.precision}")
    if plan.run.dynamics:
        raise ConfigError("dynamics: expected false with trainer=distributed, got True")
    groups = groups_per_batch(plan.trainer.batch_size, plan.run.neg_ratio)
    if groups < group.size:
        raise ConfigError(
            f"trainer.batch_size: expected at least {group.size * (1 + plan.run.neg_ratio)} rows, a positive and its "
            f"negatives for each of {group.size} processes, got {plan.trainer.batch_size}"
        )


def _refuse_other_kind(folder: Path, path: Path | None) -> None:
    """Raise CheckpointError if the run in `folder` was begun on one process without trainer=distributed."""
    if path is None and (folder / checkpoint.NEWEST).exists():
        raise CheckpointError(f"{folder}: the run was started without trainer=distributed; go on without it")


def _refuse_other_tables(folder: Path, saved: Checkpoint | None, plan: RunPlan) -> None:
    """Raise CheckpointError if the tables were copied in each process and are to be sharded now, or the reverse."""
    if saved is None:
        return
    with checkpoint.understood(folder):
        before, now = saved.settings["trainer"]["sharding"], plan.trainer.sharding
    if (before == "data") != (now == "data"):
        expected = "data" if before == "data" else "auto, row or table"
        raise CheckpointError(
            f"{folder}: trainer.sharding: expected {expected}, as the run was started with {before}, got {now}"
        )


def _trainer(
    plan: RunPlan, data: Parts, group: on.Group, folder: Path, record: Callable[[dict[str, float]], None],
    stopped: Callable[[], bool],
) -> on.GroupTrainer:  # fmt: skip
    """Return the trainer at the first step of the run."""
    run, settings, split = plan.run, plan.trainer, data.outline
    stream = generator(run.seed, "initialisation")
    assert settings.sharding is not None
    model = on.build(plan.model, split.num_users, split.num_items, stream, settings.sharding, group)
    with on.agreed(group):
        part = data.part(group.rank, group.size)
        sampler, first_user = _sampler(plan, data, part, group.device)
        batches = on.PartBatches(
            data, part, sampler, first_user, run.neg_ratio, settings.batch_size, run.seed, group.device,
            needs(plan.loss),
        )  # fmt: skip
        targets = on.targets_of(data, "valid", plan.evaluation, group)
    optimizer = on.optimizer_for(plan.settings["optimizer"], plan.optimizer, model)
    step = on.PartStep(model, plan.loss, optimizer, group, stopped)

    def validate() -> dict[str, float]:
        return plan.evaluation.metrics(on.evaluate(plan.evaluation, model, targets, group))

    def save(state: dict[str, Any]) -> None:
        own = {"settings": plan.settings, "data_digest": split.digest, "progress": state["progress"]}
        sums = {key: float(state[key]) for key in ("loss_sum", "sound")}
        sharded_file.save(folder, _spread(trainer, state), {**own, **sums}, group)

    shown = settings if group.rank == 0 else replace(settings, progress=False)
    trainer = on.GroupTrainer(step, batches, validate, shown, record=record, save=save, group=group)
    return trainer


def _spread(trainer: on.GroupTrainer, state: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors of a trainer's `state`, those of tables as parts of the whole; loading fills them in place."""
    model = trainer.model
    assert isinstance(model, on.ShardedModel)
    tensors: dict[str, Any] = {}
    for part in ("model", "best"):
        tensors |= {f"{part}.{k}": t for k, t in state[part].items() if not k.startswith("table.")}
        for name, shape in (model.tables.shapes if model.tables is not None else {}).items():
            local = state[part].get(f"table.{name}")
            tensors[f"{part}.table.{name}"] = sharded_file.spread(model, name, local, torch.float32, shape.width)
    optimizer = state["optimizer"]
    for index, own in optimizer["dense"]["state"].items():
        tensors |= {f"dense.{index}.{k}": t for k, t in own.items() if isinstance(t, Tensor)}
    for name, shape in (model.tables.shapes if model.tables is not None and optimizer["adaptive"] else {}).items():
        own = optimizer["tables"].get(name, {})
        for key in ("exp_avg", "exp_avg_sq"):
            tensors[f"rows.{name}.{key}"] = sharded_file.spread(model, name, own.get(key), torch.float32, shape.width)
        last = own["last"][:, None] if own else None
        tensors[f"rows.{name}.last"] = sharded_file.spread(model, name, last, torch.int64, 1)
    return tensors


def _as_checkpoint(state: dict[str, Any], folder: Path) -> Checkpoint:
    """Return the record that resuming is judged by. Raises CheckpointError if `state` is not that of a run."""
    with checkpoint.understood(folder):
        return Checkpoint(
            settings=state["settings"], data_digest=state["data_digest"], progress=state["progress"], best={}
        )


def _restore(trainer: on.GroupTrainer, path: Path, saved: dict[str, Any], record: Checkpoint) -> None:
    """Put the trainer where the checkpoint at `path` was saved, by however many processes."""
    step = trainer.step
    assert isinstance(step.optimizer, on.ShardedOptimizer)
    step.optimizer.prepare()
    state = copy.deepcopy(trainer.state())
    sharded_file.read_tensors(path, _spread(trainer, state))
    steps = _steps_done(record, trainer)
    for own in state["optimizer"]["tables"].values():
        own["step"].fill_(steps)
    sums = {key: torch.tensor(saved[key]) for key in ("loss_sum", "sound")}
    trainer.load({**state, **sums, "progress": vars(record.progress)})


def _steps_done(record: Checkpoint, trainer: on.GroupTrainer) -> int:
    return (record.progress.epoch - 1) * trainer.batches.steps + record.progress.step
