"""The published code's loss in RecBole 1.2.1, in the peers' environment: a run, or only first weights.

python -m experiments.recbole.clamped_peer run RATIO GAMMA SEED    trains; a line of JSON
python -m experiments.recbole.clamped_peer starts COUNT            first logits of seeds 0 to COUNT - 1
"""

import copy
import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import NeuMF
from recbole.trainer import Trainer
from recbole.utils import init_seed
from torch import Tensor

from experiments.benchmarks.recbole_side import SETTINGS
from experiments.recbole.published import MARGIN, published_focal

ALPHA = 0.25
EPOCHS = 100
BATCH = 256  # rows
PATIENCE = 10
SAMPLE = 64  # users and items whose logits tell a start


class Published(NeuMF):
    """RecBole's NeuMF with the loss taken on what `forward` returns, which are logits."""

    gamma: float

    def calculate_loss(self, interaction: Any) -> Tensor:
        """The mean loss of a batch of rows."""
        logits = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return published_focal(logits, interaction[self.LABEL], self.gamma, ALPHA)


class Keeping(Trainer):
    """Keeps the best weights: RecBole 1.2.1 cannot load its own checkpoints with PyTorch 2.6 or later."""

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **names: Any) -> None:
        self.best_epoch, self.best = epoch + 1, copy.deepcopy(self.model.state_dict())


def settings(neg_ratio: int, seed: int) -> Config:
    """The reference protocol; RecBole's defaults have the rest."""
    negatives = {"distribution": "uniform", "sample_num": neg_ratio, "alpha": 1.0, "dynamic": False, "candidate_num": 0}
    own = {"seed": seed, "epochs": EPOCHS, "stopping_step": PATIENCE, "train_batch_size": BATCH}
    chosen = SETTINGS | own | {"train_neg_sample_args": negatives}
    return Config(model="NeuMF", dataset="ml-100k", config_dict=chosen)


def first_logits(model: NeuMF, users: int, items: int) -> Tensor:
    """Logits (users, items) of the first users and items; id 0 is RecBole's padding."""
    with torch.no_grad():
        rows = [model(torch.full((items,), user), torch.arange(1, items + 1)) for user in range(1, users + 1)]
    return torch.stack(rows)


def run(neg_ratio: int, gamma: float, seed: int) -> dict[str, Any]:
    """Train as `run_recbole` does, and take the metrics of the epoch with the best validation NDCG@10.

    Where every logit of every user and item is clamped no weight can ever move, and RecBole, which counts an equal
    epoch as a better one, would train to the last epoch: one is enough to see it.
    """
    config = settings(neg_ratio, seed)
    init_seed(seed, config["reproducibility"])
    train, valid, test = data_preparation(config, create_dataset(config))
    init_seed(seed, config["reproducibility"])
    model = Published(config, train.dataset)
    model.gamma = gamma
    logits = first_logits(model, model.n_users - 1, model.n_items - 1)
    if logits.max() < MARGIN:
        config["epochs"] = 1
    first = copy.deepcopy(model.state_dict())
    trainer = Keeping(config, model)
    _, best = trainer.fit(train, valid, show_progress=False)
    model.load_state_dict(trainer.best)
    moved = not all(torch.equal(weight, first[name]) for name, weight in model.state_dict().items())
    return {
        "neg_ratio": neg_ratio,
        "gamma": gamma,
        "seed": seed,
        "first_logits": {"mean": logits.mean().item(), "sd": logits.std().item(), "highest": logits.max().item()},
        "moved": moved,
        "epochs": len(trainer.train_loss_dict),
        "best_epoch": trainer.best_epoch,
        "valid": dict(best),
        "test": dict(trainer.evaluate(test, load_best_model=False, show_progress=False)),
    }


def starts(count: int) -> dict[str, list[float]]:
    """The highest first logit of a sample of users and items, for each seed."""
    config = settings(4, 0)
    train, _, _ = data_preparation(config, create_dataset(config))
    highest = []
    for seed in range(count):
        init_seed(seed, config["reproducibility"])
        highest.append(first_logits(NeuMF(config, train.dataset), SAMPLE, SAMPLE).max().item())
    return {"highest": highest}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable()
    torch.set_num_threads(1)
    commands: dict[str, Callable[..., dict[str, Any]]] = {"run": run, "starts": starts}
    print(json.dumps(commands[sys.argv[1]](*map(json.loads, sys.argv[2:]))))
