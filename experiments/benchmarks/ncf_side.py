"""ncf as `python -m ncf.train` runs it, an epoch or a part of one at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.harness import ROOT
from experiments.benchmarks.serve import serve, timed
from ncf.core.compose import compose
from ncf.core.rng import generator
from ncf.data.split import Pairs
from ncf.models import mlp
from ncf.runs.job import build_trainer
from ncf.runs.plan import plan_run
from ncf.training.fast.stack import train_stacked
from ncf.training.samplers import uniform

_BLOCK_DRAWS = 2**18


class Ours:
    """A trainer at the start of an epoch."""

    device = torch.device("cpu")

    def prepare(self, overrides: list[str], threads: int = 1, device: str = "cpu") -> dict[str, Any]:
        """Build everything anew on `device`, under `overrides` of the default configuration."""
        fixed = [f"data.root={ROOT / 'data'}", "trainer.progress=false", "trainer.patience=1000"]
        self.plan = plan_run(compose([*fixed, *overrides]))
        torch.set_num_threads(threads)
        self.split = self.plan.split(self.plan.data())
        self.device = torch.device(device)
        self.trainer = build_trainer(self.plan, self.split, self.device)
        self.batches = self.trainer.batches
        return {"steps": self.batches.steps, "rows": self.batches.rows}

    def epoch(self) -> dict[str, Any]:
        """Train for one more epoch."""
        trainer = self.trainer
        with trainer._bar() as bar:
            timing = self._timed(lambda: trainer._train_epoch(bar))
        trainer.progress.epoch, trainer.progress.step = trainer.progress.epoch + 1, 0
        return timing

    def runs(self, count: int, stacked: bool) -> dict[str, Any]:
        """Train `count` runs that differ in their seed to the end, as one stack or one after the other."""
        plans = [replace(self.plan, run=replace(self.plan.run, seed=seed)) for seed in range(count)]
        trainers = [build_trainer(plan, self.split, self.device) for plan in plans]
        if stacked:
            return self._timed(lambda: list(train_stacked(iter(trainers), count)))
        return self._timed(lambda: [trainer.fit() for trainer in trainers])

    def validate(self, chunk_rows: int | None = None) -> dict[str, Any]:
        """Rank the validation positives of all users, and take the metrics; `chunk_rows` of the MLP scored at once."""
        mlp._CPU_ROWS = chunk_rows or mlp._CPU_ROWS
        return self._timed(self.trainer._validate)

    def prepare_draws(self, users: list[list[str]], neg_ratio: int) -> dict[str, Any]:
        """Take the batches of raw user ids that a peer draws for."""
        index = {str(user): row for row, user in enumerate(self.split.user_ids)}
        self.users = [torch.tensor([index[user] for user in batch]) for batch in users]
        self.neg_ratio, self.drawn = neg_ratio, torch.empty(0)
        return {"draws": sum(map(len, self.users)) * neg_ratio}

    def prepare_random_draws(self, draws: int, neg_ratio: int) -> dict[str, Any]:
        """Take random users for `draws` negatives in one call."""
        stream = generator(0, "shuffle", device=self.device)
        shape = (draws // neg_ratio,)
        self.users = [torch.randint(self.split.num_users, shape, device=self.device, generator=stream)]
        self.neg_ratio, self.drawn = neg_ratio, torch.empty(0)
        return {"draws": len(self.users[0]) * neg_ratio}

    def draw(self, batchwise: bool) -> dict[str, Any]:
        """Draw for those batches: in blocks as training does, or with one call a batch as the peer does."""
        users = self.users if batchwise else list(torch.cat(self.users).split(_BLOCK_DRAWS // self.neg_ratio))
        stream, draw, parts = (
            generator(0, "negatives", device=self.device),
            self.batches.sampler.draw,
            list[torch.Tensor](),
        )
        timing = self._timed(lambda: parts.extend(draw(block, self.neg_ratio, stream) for block in users))
        self.drawn = torch.cat(parts)
        return timing

    def randint(self) -> dict[str, Any]:
        """As many bare uniform integers, in blocks of the same size."""
        blocks = torch.cat(self.users).split(_BLOCK_DRAWS // self.neg_ratio)
        top, device = self.split.num_items, self.device
        return self._timed(lambda: [torch.randint(top, (len(b), self.neg_ratio), device=device) for b in blocks])

    def randint_once(self) -> dict[str, Any]:
        """As many bare uniform integers, in one call."""
        shape = (len(self.users[0]), self.neg_ratio)
        return self._timed(lambda: torch.randint(self.split.num_items, shape, device=self.device))

    def false_negatives(self) -> dict[str, Any]:
        """How many of the last draws were training positives of their user."""
        train, top = self.split.train, self.split.num_items
        drawn = torch.cat(self.users)[:, None] * top + self.drawn
        return {
            "drawn": drawn.numel(),
            "false": int(np.isin(drawn.cpu().numpy(), train.users * top + train.items).sum()),
        }

    def draw_epoch(self) -> dict[str, Any]:
        """What an epoch spends on its batches: shuffling, drawing, slicing."""
        return self._timed(lambda: [None for _ in self.batches.epoch(1)])

    def _timed(self, work: Callable[[], object]) -> dict[str, Any]:
        return timed(work, self.device.type)

    def chunk_rows(self) -> dict[str, Any]:
        """Rows of the MLP scored at once, as it comes."""
        return {"rows": mlp._CPU_ROWS}

    def sampler_memory(self, users: int, items: int, interactions: int) -> dict[str, Any]:
        """Bytes of the sampler's tensors for so many random interactions, and of a boolean users x items mask."""
        stream = np.random.default_rng(0)
        pairs = np.unique(stream.integers(users * items, size=interactions + interactions // 100))[:interactions]
        built = uniform(Pairs(pairs // items, pairs % items), users, items, "cpu")
        held = [value.nbytes for value in vars(built).values() if isinstance(value, torch.Tensor)]
        return {"sampler": sum(held), "mask": users * items}

    def prepare_roof(self, square: bool) -> dict[str, Any]:
        """The matrix products of ranking all users, or one square product of as many floating-point operations."""
        tower, users, items = self.trainer.model.mlp, self.split.num_users, self.split.num_items
        parts = -(-items // mlp._CPU_ROWS)  # of the catalogue, scored one after the other
        weights = [layer.weight.detach().T for layer in tower.upper] + [torch.randn(tower.features, 1)]
        widths = (weights[0].shape[0], *(w.shape[1] for w in weights))
        hidden = [torch.randn(-(-items // parts), width) for width in widths]
        factors = [torch.randn(size, self.trainer.model.gmf.users.embedding_dim) for size in (users, items)]
        flops = 2 * users * items * (sum(w.numel() for w in weights) + factors[0].shape[1])
        edge = round((flops / 2) ** (1 / 3))
        left, right = torch.randn(edge, edge), torch.randn(edge, edge)

        def products() -> None:
            factors[0] @ factors[1].T
            for _ in range(users * parts):
                for below, weight, above in zip(hidden, weights, hidden[1:]):
                    torch.mm(below, weight, out=above)

        self.products = (lambda: left @ right) if square else products
        return {"flops": flops}

    def roof(self) -> dict[str, Any]:
        """Those products."""
        return self._timed(self.products)


if __name__ == "__main__":
    ours = Ours()
    serve(
        ours.prepare,
        ours.epoch,
        ours.runs,
        ours.validate,
        ours.chunk_rows,
        ours.prepare_draws,
        ours.prepare_random_draws,
        ours.draw,
        ours.randint,
        ours.randint_once,
        ours.false_negatives,
        ours.draw_epoch,
        ours.sampler_memory,
        ours.prepare_roof,
        ours.roof,
    )
