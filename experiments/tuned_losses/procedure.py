"""One repetition of the tuning procedure: successive halving on validation, then refits, then test, once.

Every run is a function of its settings, so a repetition that was killed goes on from the rows of its finished runs: a
configuration whose weights went with the process is trained again from its first epoch, if it is to go on.
"""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from omegaconf import OmegaConf

from experiments.tuned_losses.design import HERE, Configuration, Procedure, Rung, Unit
from experiments.tuned_losses.table import Row
from ncf.core.compose import compose
from ncf.data import Interactions, Split
from ncf.errors import TrainingError
from ncf.evaluation import test_targets
from ncf.runs.identity import config_hash
from ncf.runs.job import build_trainer, set_up_torch
from ncf.runs.plan import RunPlan, plan_run
from ncf.training.trainer import Trainer

SHA_DIGITS = 8  # of a registration and of a commit, in a row
_ID_DIGITS, _VALUE_DIGITS = 16, 7
_CPU = torch.device("cpu")


class Stopped(Exception):
    """A signal asked to stop; what is not in the table is lost."""


@dataclass
class _Kept:
    """A trainer at the end of a rung; the last of its saved states is that before the best weights were restored."""

    trainer: Trainer
    states: list[dict[str, Any]]


class Repetition:
    """The procedure on one unit.

    Args:
        rungs, refits: of the design, or of its pilot.
        finished: rows of finished runs, of any unit.
        append: called with each row that is new.
        stopped: asks whether to stop.
        reads_test: whether refits that learned are tested.
    """

    def __init__(
        self, design: Procedure, unit: Unit, data: Interactions, rungs: Sequence[Rung], refits: int,
        finished: Sequence[Row], append: Callable[[Row], None], stopped: Callable[[], bool], reads_test: bool = True,
    ) -> None:  # fmt: skip
        self._design, self._unit, self._rungs, self._refits = design, unit, rungs, refits
        self._finished = {row.run: row for row in finished}
        self._append, self._stopped, self._reads_test = append, stopped, reads_test
        self._base = compose([*design.settings, f"loss={design.arms[unit.arm].loss}", f"split.back={unit.block}"])
        self._split: Split = plan_run(self._base).split(data)
        self._kept: dict[int, _Kept] = {}

    def run(self) -> None:
        """Make the runs that are missing. Raises Stopped."""
        best = self.halve()
        self.refit(self._design.configuration(self._unit, best.number), self._design.refits.learned * best.valid_ndcg)

    def halve(self) -> Row:
        """Run the trials, and return the row of the best in the last rung."""
        going = list(range(self._rungs[0].configurations))
        rows: dict[int, Row] = {}
        for rung in self._rungs:
            going = sorted(going, key=lambda trial: (-rows[trial].valid_ndcg, trial) if rows else (0.0, trial))
            going = sorted(going[: rung.configurations])
            self._kept = {trial: kept for trial, kept in self._kept.items() if trial in going}
            rows = {trial: self._trial(trial, rung.epochs) for trial in going}
        self._kept = {}
        return min(rows.values(), key=lambda row: (-row.valid_ndcg, row.number))

    def refit(self, own: Configuration, least: float) -> list[Row]:
        """Train a configuration with fresh seeds, and return the rows of the runs that learned: reached `least`."""
        made = list[Row]()
        while not all_refitted(made, least, self._refits):
            made.append(self._refit(len(made), own, least))
        return [row for row in made if row.valid_ndcg >= least]

    def _trial(self, trial: int, epochs: int) -> Row:
        seed = self._design.trial_seed(self._unit, trial)
        own = self._design.configuration(self._unit, trial)
        plan, run = self._planned(own, seed, epochs)
        if run in self._finished:
            return self._finished[run]
        kept, start = self._kept.pop(trial, None), time.process_time()
        try:
            kept = self._trained(plan, kept)
            self._kept[trial] = kept
        except TrainingError:
            kept = None
        return self._added("trial", trial, epochs, run, seed, kept, time.process_time() - start, {})

    def _refit(self, number: int, own: Configuration, least: float) -> Row:
        seed, epochs = self._design.refit_seed(self._unit, number), self._design.refits.epochs
        plan, run = self._planned(own, seed, epochs)
        if run in self._finished:
            return self._finished[run]
        start, kept, test = time.process_time(), None, {}
        try:
            kept = self._trained(plan, None)
            if self._reads_test and _digits(kept.trainer.progress.best_value) >= least:
                found = plan.evaluation.evaluate(kept.trainer.model.score, test_targets(self._split, _CPU))
                test = plan.evaluation.metrics(found)
        except TrainingError:
            kept = None
        return self._added("refit", number, epochs, run, seed, kept, time.process_time() - start, test)

    def _planned(self, own: Configuration, seed: int, epochs: int) -> tuple[RunPlan, str]:
        cfg = deepcopy(self._base)
        for key, value in {**own, "seed": seed, "trainer.epochs": epochs}.items():
            OmegaConf.update(cfg, key, value)
        plan = plan_run(cfg)
        return plan, config_hash(plan.settings)[:_ID_DIGITS]

    def _trained(self, plan: RunPlan, kept: _Kept | None) -> _Kept:
        """Train to the end of the rung, from the end of the last one if its weights are at hand. Raises Stopped."""
        if kept is None:
            set_up_torch(plan)
            states: list[dict[str, Any]] = []
            trainer = build_trainer(plan, self._split, _CPU, save=states.append, stopped=self._stopped)
            assert isinstance(trainer, Trainer)
            kept = _Kept(trainer, states)
        else:
            kept.trainer.settings = plan.trainer
            kept.trainer.load(kept.states[-1])
        if not kept.trainer.fit():
            raise Stopped
        del kept.states[:-1]
        return kept

    def _added(
        self, stage: str, number: int, epochs: int, run: str, seed: int, kept: _Kept | None, seconds: float,
        test: Mapping[str, float],
    ) -> Row:  # fmt: skip
        progress = kept.trainer.progress if kept else None
        best = progress.history[progress.best_epoch - 1] if progress else {}
        row = Row(
            self._unit.block, self._unit.draw, self._unit.arm, stage, number, epochs, run, seed,
            len(progress.history) if progress else 0, progress.best_epoch if progress else 0,
            _digits(best.get("ndcg@10", 0.0)), _digits(best.get("hit@10", 0.0)),
            _digits(test.get("ndcg@10")), _digits(test.get("hit@10")), round(seconds, 2),
            self._design.sha256[:SHA_DIGITS], commit(),
        )  # fmt: skip
        self._append(row)
        return row


def all_refitted(refits: Sequence[Row], least: float, wanted: int) -> bool:
    """Return whether as many refits as `wanted` have a validation value of `least`, or those in reserve are used up."""
    return len(refits) == 2 * wanted or sum(row.valid_ndcg >= least for row in refits) >= wanted


def _digits(value: float | None) -> Any:
    return None if value is None else round(value, _VALUE_DIGITS)


@cache
def commit() -> str:
    """Return the first digits of the checkout's commit, with "-dirty" if code or settings differ from it."""
    git = ["git", "-C", str(HERE)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    results = [f":(top,exclude){path}" for path in ("*.csv", "*.md", "conf/experiment")]  # written while runs go on
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ":(top)", *results], check=False).returncode
    return head[:SHA_DIGITS] + ("-dirty" if changed else "")
