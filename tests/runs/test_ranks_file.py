"""`ranks.csv`: what is written comes back, whatever the ties; what no run writes is refused by its line."""

import ast
import csv
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from toys import compose, random_split

import ncf
from ncf.errors import DataError
from ncf.evaluation import FullRanking, Ranks, test_targets, validation_targets
from ncf.runs.artifacts import RANKS
from ncf.runs.identity import resolved
from ncf.runs.ranks_file import HEADER, counted, metrics_of, read_ranks, write_ranks

FULL = FullRanking(metrics=["hit", "ndcg", "mrr"], cutoffs=[5], ties="average", memory_mb=1)


def written(folder: Path) -> tuple[dict[str, Ranks], list[dict[str, str]]]:
    """The ranks of scores with many ties, and the rows that they are written as."""
    split = random_split(30, 25)
    logits = torch.randint(4, (30, 25), generator=torch.Generator().manual_seed(0)).float()
    ranks = {
        "valid": FULL.evaluate(lambda users: logits[users], validation_targets(split, "cpu")),
        "test": FULL.evaluate(lambda users: logits[users], test_targets(split, "cpu")),
    }
    write_ranks(folder, split, ranks)
    with (folder / RANKS).open(newline="") as file:
        return ranks, list(csv.DictReader(file))


def made_up(above: list[int], tied: list[int], candidates: int) -> Ranks:
    """Ranks of as many positives, all of one user and item."""
    zeros = torch.zeros(len(above), dtype=torch.int64)
    return Ranks(zeros, zeros, torch.tensor(above), torch.tensor(tied), torch.full_like(zeros, candidates))


def test_ranks_are_rows_of_raw_ids(tmp_path: Path) -> None:
    _, rows = written(tmp_path)
    assert list(rows[0]) == HEADER
    assert [row["split"] for row in rows] == ["valid"] * 30 + ["test"] * 30
    assert {int(row["user_id"]) for row in rows} == set(range(100, 130))
    assert all(1000 <= int(row["item_id"]) < 1025 for row in rows)


def test_ranks_give_the_metrics_again(tmp_path: Path) -> None:
    """Average rank and number of tied give the first and last place, and so the expected metrics."""
    ranks, rows = written(tmp_path)
    for part, r in ranks.items():
        mine = [(float(row["rank"]), int(row["tied"])) for row in rows if row["split"] == part]
        places = [np.arange(tied) + rank - (tied - 1) / 2 for rank, tied in mine]
        metrics = FULL.metrics(r)
        assert np.mean([(p <= 5).mean() for p in places]) == pytest.approx(metrics["hit@5"])
        assert np.mean([((p <= 5) / np.log2(p + 1)).mean() for p in places]) == pytest.approx(metrics["ndcg@5"])
        assert np.mean([(1 / p).mean() for p in places]) == pytest.approx(metrics["mrr"])


BIG = [99_990, 99_998, 99_999, 100_000, 100_001, 999_999, 1_234_566, 123_456_789]


@pytest.mark.parametrize("above", [range(12), BIG], ids=["small", "beyond six digits"])
def test_every_pattern_of_ties_comes_back(above: list[int], tmp_path: Path) -> None:
    patterns = list(itertools.product(above, [*range(1, 9), 999, 1000]))
    ranks = made_up(*map(list, zip(*patterns, strict=True)), candidates=200_000_000)
    write_ranks(tmp_path, random_split(3, 5), {"test": ranks})
    again = counted(read_ranks(tmp_path, "test"))
    assert torch.equal(again.above, ranks.above)
    assert torch.equal(again.tied, ranks.tied)
    assert torch.equal(again.candidates, ranks.candidates)
    assert torch.equal(again.average, ranks.average)


def test_ranks_beyond_six_digits_are_written_in_full(tmp_path: Path) -> None:
    write_ranks(tmp_path, random_split(3, 5), {"test": made_up([1_234_566], [2], 2_000_000)})
    assert "1234567.5" in (tmp_path / RANKS).read_text()


def test_the_parts_are_read_apart(tmp_path: Path) -> None:
    ranks, rows = written(tmp_path)
    for part, r in ranks.items():
        table = read_ranks(tmp_path, part)
        assert list(table) == HEADER[1:]
        assert table["user_id"].tolist() == [row["user_id"] for row in rows if row["split"] == part]
        assert torch.equal(counted(table).above, r.above)


def test_ids_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    text = ",".join(HEADER) + '\ntest,NA,null,1,5,1\ntest,007,"a ""b"", c",2,5,1\n'
    (tmp_path / RANKS).write_text(text)
    assert read_ranks(tmp_path, "test")[["user_id", "item_id"]].to_numpy().tolist() == [
        ["NA", "null"], ["007", 'a "b", c'],
    ]  # fmt: skip


def first_test_row(text: str, row: str) -> tuple[str, int]:
    """The text with the first row of test replaced, and the number of its line."""
    lines = text.splitlines()
    index = next(n for n, line in enumerate(lines) if line.startswith("test,"))
    lines[index] = row
    return "\n".join(lines) + "\n", index + 1


BAD_NUMBERS = [
    "nan,9,1", "0,9,1", "0.5,9,1", "10,9,1", "inf,9,1", "-9,9,1", "x,9,1", "1,9,0", "1,9,10", "1,9,x", "1,9,", "1,9",
    "1,-9,1", "1,9.5,1", "1,9,0.5", "1,9,1,7",
]  # fmt: skip


@pytest.mark.parametrize("numbers", BAD_NUMBERS)
def test_a_row_that_no_run_writes_is_refused_by_its_line(numbers: str, tmp_path: Path) -> None:
    written(tmp_path)
    text, line = first_test_row((tmp_path / RANKS).read_text(), f"test,100,1001,{numbers}")
    (tmp_path / RANKS).write_text(text)
    with pytest.raises(DataError, match=rf"ranks\.csv, line {line}: expected ") as caught:
        read_ranks(tmp_path, "test")
    assert "\n" not in str(caught.value)


DAMAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "another header": lambda text: text.replace("rank", "place", 1),
    "a column more": lambda text: text.replace("\n", ",1\n").replace("tied,1", "tied", 1),
    "no header": lambda text: text.partition("\n")[2],
    "bytes of something else": lambda text: "\udcff\udcfe" + text,
    "no test rows": lambda text: text[: text.index("test,")],
    "cut off": lambda text: text[:-3],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_refused(kind: str, tmp_path: Path) -> None:
    written(tmp_path)
    text = DAMAGE[kind]((tmp_path / RANKS).read_text())
    (tmp_path / RANKS).write_text(text, errors="surrogateescape")
    with pytest.raises(DataError, match=r"ranks\.csv[:,] ") as caught:
        read_ranks(tmp_path, "test")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ranks\.csv: expected the ranks of a finished run \(.*No such file"):
        read_ranks(tmp_path, "test")


def test_the_metrics_of_rows_are_those_of_the_result_or_it_is_an_error(tmp_path: Path) -> None:
    ranks, _ = written(tmp_path)
    config = resolved(compose("evaluation.cutoffs=[5]"))
    result = {"config": config, **{part: FULL.metrics(r) for part, r in ranks.items()}}
    table = read_ranks(tmp_path, "test")
    metrics = metrics_of(tmp_path, table, result, "test")
    pd.testing.assert_series_equal(metrics.mean(), pd.Series(result["test"]), check_exact=False)
    assert len(metrics) == len(table)
    edited = {**result, "test": result["test"] | {"ndcg@5": result["test"]["ndcg@5"] + 1e-6}}
    with pytest.raises(DataError, match=r"ranks\.csv: its test ranks do not reproduce the metrics in result\.json"):
        metrics_of(tmp_path, table, edited, "test")


def test_there_is_one_writer_and_one_reader() -> None:
    """No other module of the library reads it; reports ask whether it is there, `own_files` what it is."""
    users = []
    for path in sorted(Path(ncf.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Constant) and node.value == "ranks.csv"
            if named or (isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] == "RANKS"):
                users.append(path.stem)
    assert set(users) == {"artifacts", "ranks_file", "ranked", "side_by_side", "own_files", "unfinished"}
