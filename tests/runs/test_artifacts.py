"""What a run leaves behind: identity by configuration, ranks that give the metrics again, results of known formats."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from toys import compose, random_split

from ncf.errors import DataError
from ncf.evaluation import FullRanking, Ranks, test_targets, validation_targets
from ncf.runs import results

SETTINGS = results.resolved(compose())
INCIDENTAL = {
    "trainer.cuda_graph",
    "resume",
    "registration",
    "dynamics",
    "data.root",
    "data.archive",
    "trainer.checkpoint_every",
    "trainer.progress",
    "tracking.name",
}


@pytest.mark.parametrize("key", results.flatten(SETTINGS))
def test_the_hash_sees_every_setting_that_can_change_a_result(key: str) -> None:
    changed = OmegaConf.create(SETTINGS)
    OmegaConf.update(changed, key, "something else")
    same = results.config_hash(results.resolved(changed)) == results.config_hash(SETTINGS)
    assert same == (key in INCIDENTAL)


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    backwards = {group: SETTINGS[group] for group in reversed(SETTINGS)}
    assert results.config_hash(backwards) == results.config_hash(SETTINGS)


def test_a_run_id_is_readable_and_tells_runs_apart() -> None:
    names = {
        results.run_id(results.resolved(compose(*o))) for o in ([], ["seed=1"], ["optimizer.lr=1"], ["loss=focal"])
    }
    assert len(names) == 4
    assert results.run_id(results.resolved(compose("neg_ratio=4", "seed=7"))).startswith("neumf-bce-r4-s7-")


def written(folder: Path) -> tuple[dict[str, Ranks], list[dict[str, str]]]:
    split = random_split(30, 25)
    logits = torch.randint(4, (30, 25), generator=torch.Generator().manual_seed(0)).float()  # with many ties
    full = FullRanking(cutoffs=[5], ties="average", memory_mb=1)
    ranks = {
        "valid": full.evaluate(lambda users: logits[users], validation_targets(split, "cpu")),
        "test": full.evaluate(lambda users: logits[users], test_targets(split, "cpu")),
    }
    results.write_ranks(folder, split, ranks)
    with (folder / results.RANKS).open(newline="") as file:
        return ranks, list(csv.DictReader(file))


def test_ranks_are_rows_of_raw_ids(tmp_path: Path) -> None:
    _, rows = written(tmp_path)
    assert list(rows[0]) == ["split", "user_id", "item_id", "rank", "candidates", "tied"]
    assert [row["split"] for row in rows] == ["valid"] * 30 + ["test"] * 30
    assert {int(row["user_id"]) for row in rows} == set(range(100, 130))
    assert all(1000 <= int(row["item_id"]) < 1025 for row in rows)


def test_ranks_give_the_metrics_again(tmp_path: Path) -> None:
    """Average rank and number of tied give the first and last place, and so the expected metrics."""
    ranks, rows = written(tmp_path)
    full = FullRanking(cutoffs=[5], ties="average", memory_mb=1)
    for part, r in ranks.items():
        mine = [(float(row["rank"]), int(row["tied"])) for row in rows if row["split"] == part]
        places = [np.arange(tied) + rank - (tied - 1) / 2 for rank, tied in mine]
        metrics = full.metrics(r)
        assert np.mean([(p <= 5).mean() for p in places]) == pytest.approx(metrics["hit@5"])
        assert np.mean([((p <= 5) / np.log2(p + 1)).mean() for p in places]) == pytest.approx(metrics["ndcg@5"])
        assert np.mean([(1 / p).mean() for p in places]) == pytest.approx(metrics["mrr"])


def test_ranks_beyond_six_digits_are_written_in_full(tmp_path: Path) -> None:
    one = torch.zeros(1, dtype=torch.int64)
    ranks = Ranks(one, one, one + 1_234_566, one + 2, one + 2_000_000)
    results.write_ranks(tmp_path, random_split(3, 5), {"test": ranks})
    assert "1234567.5" in (tmp_path / results.RANKS).read_text()


FINISHED = {
    "valid": {"mrr": 0.2},
    "test": {"mrr": 0.1},
    "config": {"seed": 1},
    "config_hash": "abc",
    "data_digest": "d",
}


def test_a_result_comes_back(tmp_path: Path) -> None:
    assert results.read_result(tmp_path) is None
    results.write_result(tmp_path, FINISHED)
    assert results.read_result(tmp_path) == {"format": results.FORMAT, **FINISHED}


@pytest.mark.parametrize("key", FINISHED)
def test_a_result_that_lacks_what_its_readers_need_is_refused(key: str, tmp_path: Path) -> None:
    results.write_result(tmp_path, {name: value for name, value in FINISHED.items() if name != key})
    with pytest.raises(
        DataError, match=rf"result\.json: damaged, expected the keys of a finished run, found '{key}' wrong"
    ):
        results.read_result(tmp_path)


@pytest.mark.parametrize("change", [{"test": {}}, {"valid": [1]}, {"test": {"mrr": "x"}}, {"config": 3}], ids=str)
def test_a_result_with_other_kinds_of_values_is_refused(change: dict, tmp_path: Path) -> None:
    results.write_result(tmp_path, FINISHED | change)
    with pytest.raises(DataError, match=rf"result\.json: damaged, .* found '{next(iter(change))}.*' wrong"):
        results.read_result(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "nonsense", "\0\1", "[" * 100_000], ids=lambda text: text[:9])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / results.RESULT).write_text(text)
    with pytest.raises(DataError, match=r"result\.json: expected the JSON of a finished run"):
        results.read_result(tmp_path)


@pytest.mark.parametrize(
    "content", [{}, {"format": 99, "versions": {"ncf": "9.9"}}, {"versions": 3}, {"format": "1"}, [], 3, None]
)
def test_a_result_of_another_format_is_refused_with_both_versions(tmp_path: Path, content: Any) -> None:
    (tmp_path / results.RESULT).write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"expected result format 1 \(ncf .*\), found"):
        results.read_result(tmp_path)


def test_the_environment_says_what_code_ran() -> None:
    environment = results.environment()
    assert environment["versions"].keys() == {"ncf", "python", "torch", "numpy"}
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["commit"] is None or len(environment["commit"].removesuffix("-dirty")) == 40


def test_the_epoch_log_starts_from_what_is_behind_a_run(tmp_path: Path) -> None:
    (tmp_path / results.METRICS).write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    log = results.EpochLog(tmp_path, [{"epoch": 1}])
    log.append({"epoch": 2, "train_loss": 0.5})
    lines = [json.loads(line) for line in (tmp_path / results.METRICS).read_text().splitlines()]
    assert lines == [{"epoch": 1}, {"epoch": 2, "train_loss": 0.5}]
