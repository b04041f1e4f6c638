"""Tables of one's own: what is read, and what is refused with the column named."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.data.frame import binary, column_names, numbers, read_frame
from ncf.errors import DataError

TEXT = "unit,arm,clicks\na,1,0\nb,0,2.5\n"


def written(folder: Path, name: str, text: str = TEXT) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.parquet"])
def test_the_named_columns_of_every_kind_of_file(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"unit": ["a", "b"], "arm": [1, 0], "clicks": [0.0, 2.5]})
    if name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        written(tmp_path, name, TEXT.replace(",", "\t") if name.endswith("tsv") else TEXT)
    pd.testing.assert_frame_equal(read_frame(tmp_path / name, ["clicks", "unit"]), frame[["clicks", "unit"]])
    pd.testing.assert_frame_equal(read_frame(str(tmp_path / name), ["arm", "arm"]), frame[["arm"]])


def test_a_byte_order_mark_and_a_long_file(tmp_path: Path) -> None:
    rows = 20_000
    path = written(tmp_path, "x.csv", "\ufeffa,b\n" + "".join(f"{i},{i / 8}\n" for i in range(rows)))
    frame = read_frame(path, ["a", "b"])
    np.testing.assert_array_equal(frame["a"], np.arange(rows))
    np.testing.assert_array_equal(frame["b"], np.arange(rows) / 8)


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (TEXT, ["click"], "expected a column 'click'.*did you mean 'clicks'"),
        (TEXT, ["x", "y"], "expected columns 'x', 'y'"),
        ("a,b\n1,\n,2\n3,\n", ["a", "b"], "1 of a, 2 of b in 3 rows"),
        ("a,b\n", ["a"], "expected rows, found none"),
        ("", ["a"], "expected a column 'a'"),
        ("a,b\n1,2\n1,2,3\n", ["a"], "cannot be read"),
        ("a\n\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14", ["a"], "found binary data"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name(
    text: str, columns: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_frame(written(tmp_path, "x.csv", text), columns)


def test_a_frame_is_checked_like_a_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan]})
    with pytest.raises(DataError, match="1 of a in 2 rows"):
        read_frame(frame, ["a"])
    with pytest.raises(DataError, match="no such file"):
        read_frame(tmp_path / "none.csv", ["a"])


def test_numbers_and_binary_name_the_first_row_that_is_none() -> None:
    frame = pd.DataFrame({"x": ["1", "2.5"], "y": ["1", "b"], "z": [1.0, np.inf], "t": [True, False], "w": [0, 2]})
    np.testing.assert_array_equal(numbers(frame, "x"), [1, 2.5])
    np.testing.assert_array_equal(binary(frame, "t"), [1, 0])
    with pytest.raises(DataError, match="row 2: expected y as a number, found 'b'"):
        numbers(frame, "y")
    with pytest.raises(DataError, match="row 2: expected z as a finite number"):
        numbers(frame, "z")
    with pytest.raises(DataError, match="row 2: expected w as 0 or 1, found 2"):
        binary(frame, "w")


def test_the_names_of_columns_without_their_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1], "b, c": [2]})
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_csv(tmp_path / "log.tsv.gz", index=False, sep="\t")
    frame.to_parquet(tmp_path / "log.parquet")
    for source in (frame, tmp_path / "log.csv", str(tmp_path / "log.tsv.gz"), tmp_path / "log.parquet"):
        assert column_names(source) == ["a", "b, c"]
    with pytest.raises(DataError, match="no such file"):
        column_names(tmp_path / "none.csv")


def test_the_first_row_that_lacks_a_value_is_named() -> None:
    with pytest.raises(DataError, match="found 1 of x in 3 rows, the first in row 2"):
        read_frame(pd.DataFrame({"x": [1.0, None, 2.0]}), ["x"])
