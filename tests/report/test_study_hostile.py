"""Tables from a stranger: one line at once, whatever is in them or in their place."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import REGISTRATION, registration, runs, write

from ncf.errors import NcfError
from ncf.report.study import load

NAMES = ["results.csv", "protocol.json", "curves.csv.gz", "attention.csv.gz", "selected.csv.gz", "sampled.csv",
         "groups.csv", "users.csv"]  # fmt: skip


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """The tables of a report."""
    write(tmp_path, runs(registration()))
    return tmp_path


def refused(folder: Path) -> str:
    begun = time.monotonic()
    with pytest.raises(NcfError) as caught:
        load(folder, registration())
    assert time.monotonic() - begun < 2
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 500
    return said


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_regular_file_is_refused_at_once(tables: Path, name: str) -> None:
    (tables / name).unlink()
    os.mkfifo(tables / name)
    assert f"{name}: expected a regular file, found a FIFO" in refused(tables)
    (tables / name).unlink()
    (tables / name).symlink_to("/dev/zero")
    assert f"{name}: expected a regular file, found a device" in refused(tables)


HEAD = b"run,neg_ratio,seed,test/ndcg@10\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [pytest.param(*case, id=f"{number}-{case[0]}") for number, case in enumerate([
        ("results.csv", b"\0" * 100, "results.csv"),
        ("results.csv", b"\xff\xfe", "expected a table that a report wrote, found none"),
        ("results.csv", HEAD + b"1,2,3\n4,5,6,7,8\n", "expected a table that a report wrote, found none"),
        ("results.csv", lambda: HEAD + b"," * 2_000_000, "found one of too many cells"),
        ("results.csv", b"run" + b",x" * 10_000, "found one of too many cells"),
        ("results.csv", lambda: HEAD + b"1\n" * 6_000_000, "found one of too many cells"),
        ("results.csv", HEAD + b"a,4," + b"9" * 5000 + b",0.1\n", "results.csv, line 2: expected a seed, found"),
        ("results.csv", HEAD + b"a,1e999,42,0.1\n", "line 2: expected a neg_ratio, found 'inf'"),
        ("results.csv", HEAD + b"a,4,42,0.1\nb,4.5,42,0.1\n", "line 3: expected a neg_ratio, found '4.5'"),
        ("results.csv", HEAD + b",4,42,0.1\n", "line 2: expected a run, found 'nan'"),
        ("results.csv", b"run,seed\na,1\n", "found no neg_ratio"),
        ("curves.csv.gz", lambda: gzip.compress(b"\0" * 200_000_000), "expected at most 64 MiB, unpacks into more"),
        ("curves.csv.gz", gzip.compress(b"run,epoch\na,1\n"), "found no ndcg@10, train_loss"),
        ("curves.csv.gz", gzip.compress(b"run")[:-6], "expected a table that a report wrote, found none"),
        ("users.csv", b"treatment\nx\n", "found no baseline, metric, neg_ratio"),
        ("protocol.json", b"[" * 100_000, "cannot be read"),
        ("protocol.json", b'{"settings": ' + b"9" * 5000 + b"}", "cannot be read"),
        ("protocol.json", b"[1]", "expected the keys settings, versions, machine"),
        ("protocol.json", b"x" * 2**21, "expected a file of at most 1 MiB, found 2 MiB"),
    ])],
)  # fmt: skip
def test_a_hostile_table_is_one_line_at_once(
    tables: Path, name: str, content: bytes | Callable[[], bytes], message: str
) -> None:
    (tables / name).write_bytes(content() if callable(content) else content)
    said = refused(tables)
    assert name in said
    assert message in said


MEASURED = """
import resource, sys
from ncf.core import command_line
from ncf.report.__main__ import main
from ncf.report import collect
from ncf.report.kit import page
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    command_line.run(main)
finally:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_a_flood_of_cells_takes_little_memory(tables: Path) -> None:
    (tables / "registration.yaml").write_text(REGISTRATION)
    (tables / "results.csv").write_bytes(HEAD + b"a,4,42,1\n" * 1_200_000)  # almost as many as are read
    (tables / "protocol.json").write_text(json.dumps([1]))
    command = [
        sys.executable,
        "-c",
        MEASURED,
        f"registration={tables}/registration.yaml",
        f"results={tables}/results.csv",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert int(done.stdout) < 200
