"""RecBole 1.2.1's NeuMF under the reference protocol, in an environment of its own."""

import logging
import os
import warnings
from typing import Any

import recbole
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from experiments.benchmarks.serve import serve, timed

SETTINGS: dict[str, Any] = {
    "data_path": os.path.join(os.path.dirname(recbole.__file__), "dataset_example"),  # noqa: PTH118, PTH120
    "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
    "val_interval": {"rating": "[4,inf)"},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
    "mf_embedding_size": 64,
    "mlp_embedding_size": 64,
    "mlp_hidden_size": [128, 64, 32],
    "dropout_prob": 0.0,
    "learning_rate": 1e-3,
    "topk": [5, 10, 20],
    "metrics": ["Hit", "NDCG", "MRR"],
    "valid_metric": "NDCG@10",
    "show_progress": False,
    "seed": 42,
    "state": "ERROR",
}


class Peer:
    """A NeuMF, its trainer and its data loaders."""

    def prepare(self, neg_ratio: int, batch_size: int, eval_batch_size: int, device: str = "cpu") -> dict[str, Any]:
        """Build everything anew on `device`."""
        negatives = {"distribution": "uniform", "sample_num": neg_ratio, "alpha": 1.0, "dynamic": False}
        sizes = {"train_batch_size": batch_size, "eval_batch_size": eval_batch_size, "use_gpu": device != "cpu"}
        self.device = device
        settings = SETTINGS | sizes | {"train_neg_sample_args": negatives | {"candidate_num": 0}}
        config = Config(model="NeuMF", dataset="ml-100k", config_dict=settings)
        init_seed(config["seed"], config["reproducibility"])
        self.train, self.valid, _ = data_preparation(config, create_dataset(config))
        self.model = get_model("NeuMF")(config, self.train.dataset).to(config["device"])
        self.trainer = get_trainer(config["MODEL_TYPE"], "NeuMF")(config, self.model)
        torch.set_num_threads(1)
        return {"steps": len(self.train), "rows": len(self.train.dataset) * (1 + neg_ratio)}

    def threads(self, count: int) -> dict[str, Any]:
        """Use `count` of them."""
        torch.set_num_threads(count)
        return {}

    def epoch(self) -> dict[str, Any]:
        """Train for one epoch."""
        return timed(lambda: self.trainer._train_epoch(self.train, 0), self.device)

    def validate(self) -> dict[str, Any]:
        """Rank the validation positives of all users, and take the metrics."""
        return timed(lambda: self.trainer._valid_epoch(self.valid), self.device)

    def batches(self) -> dict[str, Any]:
        """The users of an epoch, batch by batch, by their ids in the file."""
        dataset = self.train.dataset
        users = dataset.inter_feat[dataset.uid_field]
        self.users = [batch.numpy() for batch in users[torch.randperm(len(users))].split(self.train.step)]
        return {"users": [dataset.id2token(dataset.uid_field, batch).tolist() for batch in self.users]}

    def draw(self, neg_ratio: int) -> dict[str, Any]:
        """Draw the negatives of those batches."""
        draw = self.train._sampler.sample_by_key_ids
        return timed(lambda: [draw(batch, neg_ratio) for batch in self.users])


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable()
    peer = Peer()
    serve(peer.prepare, peer.threads, peer.epoch, peer.validate, peer.batches, peer.draw)
