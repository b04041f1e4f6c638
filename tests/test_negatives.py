"""`python -m ncf.negatives`: the file that it writes ranks as the protocol that drew it, and bad ones are refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from toys import compose, small

from ncf import negatives
from ncf.core.config import component
from ncf.data import Split, read_split
from ncf.errors import ConfigError, DataError
from ncf.evaluation import EVALUATIONS, test_targets
from ncf.train import train


@pytest.fixture(scope="module")
def cfg(root: Path) -> DictConfig:
    sampled = "evaluation=sampled", "evaluation.negatives=15", "evaluation.cutoffs=[5,10]"
    return compose(*small(root, *sampled, "trainer.epochs=1"))


@pytest.fixture(scope="module")
def split(cfg: DictConfig) -> Split:
    return read_split(cfg)


def arguments(root: Path, target: Path, *more: str) -> list[str]:
    return [o for o in small(root, "evaluation.negatives=15", *more) if not o.startswith("device")] + [
        f"output={target}"
    ]


def test_the_negatives_of_a_file_rank_as_the_drawn_ones(
    root: Path, cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "negatives.npz"
    negatives.main(arguments(root, target))
    assert capsys.readouterr().out == f"{target}: 15 negatives for each of 120 positives\n"
    from_file = cfg.copy()
    from_file.evaluation.file = str(target)
    results = []
    for name, settings in {"drawn": cfg, "read": from_file}.items():
        (tmp_path / name).mkdir()
        results.append(train(settings, tmp_path / name))
    drawn, read = results
    assert drawn is not None
    assert read is not None
    assert (read["test"], read["valid"]) == (drawn["test"], drawn["valid"])


def test_a_file_of_the_authors_of_ncf_is_taken_over_by_raw_ids(root: Path, split: Split, tmp_path: Path) -> None:
    targets = test_targets(split, "cpu")
    source, target = tmp_path / "set.test.negative", tmp_path / "negatives.npz"
    others = [[item for item in range(80) if item != positive][:6] for positive in targets.items.tolist()]
    lines = [
        "\t".join([f"({split.user_ids[u]},{split.item_ids[i]})", *(str(split.item_ids[n]) for n in some)]) + "\t"
        for u, i, some in zip(targets.users.tolist(), targets.items.tolist(), others, strict=True)
    ]
    source.write_text("\n".join(lines) + "\n")
    negatives.main(arguments(root, target, f"import={source}"))
    with np.load(target) as arrays:
        assert arrays["users"].tolist() == targets.users.tolist()
        assert arrays["items"].tolist() == targets.items.tolist()
        assert arrays["negatives"].tolist() == others


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one line per user, found an empty file"),
        ("(0,1)\t2\n(1,2)\n", r"line 2: expected \(user,item\) and negatives separated by tabs, found '\(1,2\)'"),
        ("0,1\t2\n", r"line 1: expected \(user,item\)"),
        ("(0,1)\t2\t3\n(1,2)\t3\n", "line 2: expected 2 negatives, found 1"),
        ("(0,1)\t2\n(999,2)\t3\n", "line 2: expected a user with positives in the data, found '999'"),
        ("(0,1)\t2\n(1,2)\tx\n", "line 2: expected a item with positives in the data, found 'x'"),
    ],
)
def test_a_bad_file_is_refused_by_its_line(text: str, message: str, split: Split, tmp_path: Path) -> None:
    source = tmp_path / "set.test.negative"
    source.write_text(text)
    with pytest.raises(DataError, match=message):
        negatives.imported(split, source)


def test_a_missing_file_is_named(split: Split, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^import: cannot read .*gone"):
        negatives.imported(split, tmp_path / "gone")


def test_what_has_no_end_is_not_read(split: Split, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(DataError, match=rf"^{path}: expected a regular file, found a (FIFO|device|folder)$"):
            negatives.imported(split, path)


def test_drawn_negatives_are_no_positives_of_the_user(cfg: DictConfig, split: Split) -> None:
    users, items, drawn = negatives.drawn(split, component("evaluation", EVALUATIONS, cfg.evaluation)())
    assert drawn.shape == (120, 15)
    assert users.tolist()[:60] == users.tolist()[60:]
    for user, item, some in zip(users, items, drawn, strict=True):
        assert len(set(some.tolist())) == 15
        own = np.concatenate([part.items[part.users == user] for part in (split.train, split.valid)])
        assert not set(some.tolist()) & {*own.tolist(), int(item)}


def test_what_cannot_be_written_or_is_not_set_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^output: cannot write /proc/none \("):
        negatives.main(arguments(root, Path("/proc/none")))
    with pytest.raises(ConfigError, match=r"evaluation\.negatives: "):
        negatives.main([*arguments(root, tmp_path / "x.npz"), "evaluation.negatives=0"])
    with pytest.raises(ConfigError, match="expected output="):
        negatives.main(["data=ml-1m"])
