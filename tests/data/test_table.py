"""Strict reading: each rule by an example, and the fast way against the definition."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.data import table
from ncf.data.table import Kind, Layout, lines_of, read
from ncf.errors import DataError

LAYOUT = Layout("\t", ("user", "item", "rating", "time"))
KINDS: dict[str, Kind] = {"user": "integer", "item": "integer", "rating": "number", "time": "integer"}
TEXT_KINDS: dict[str, Kind] = {"user": "text", "item": "text", "rating": "number", "time": "number"}
GOOD = b"1\t10\t5\t100\n2\t20\t3.5\t200\n"


def parse(data: bytes, layout: Layout = LAYOUT, kinds: dict[str, Kind] = KINDS) -> dict[str, list]:
    blocks = list(read(lines_of(io.BytesIO(data), "f"), "f", layout, kinds, 1))
    return {name: np.concatenate([block.columns[name] for block in blocks]).tolist() for name in kinds}


def test_reads_every_column() -> None:
    assert parse(GOOD) == {"user": [1, 2], "item": [10, 20], "rating": [5.0, 3.5], "time": [100, 200]}


@pytest.mark.parametrize("data", [GOOD[:-1], GOOD.replace(b"\n", b"\r\n"), GOOD[:-1] + b"\r", b"\xef\xbb\xbf" + GOOD])
def test_accepts_windows_line_ends_byte_order_mark_and_missing_last_newline(data: bytes) -> None:
    assert parse(data) == parse(GOOD)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (b"3\t30\t4", "expected 4 fields"),
        (b"3\t30\t4\t300\t9", "expected 4 fields"),
        (b"", "an empty line"),
        (b"x\t30\t4\t300", "user as a 64-bit integer, found 'x'"),
        (b"3\t30\tgood\t300", "rating as a finite number, found 'good'"),
        (b"3\t30\tnan\t300", "rating as a finite number, found 'nan'"),
        (b"3\t30\tinf\t300", "rating as a finite number, found 'inf'"),
        (b"3\t30\t1e999\t300", "rating as a finite number, found '1e999'"),
        (b"3\t30\t\t300", "rating as a finite number, found ''"),
        (b"3\t30\t 4\t300", "rating as a finite number, found ' 4'"),
        (b"3\t30\t4_0\t300", "rating as a finite number"),
        (b"3\t30\t4\t3.0", "time as a 64-bit integer, found '3.0'"),
        (b"3\t9223372036854775808\t4\t300", "item as a 64-bit integer"),
        (b"3\t30\t4\t30\x000", "without NUL bytes"),
        (b"3\t30\t4\t30\r0", "lone carriage returns"),
        (b"3\t30\t4\t3\xff0", "utf-8 text, found 'byte 0xff at column 9'"),
        ("3\t30\t4\t\uff13".encode(), "time as a 64-bit integer"),
    ],
)
def test_names_the_line_that_breaks_a_rule(bad: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=r"^f, line 3: expected") as caught:
        parse(GOOD + bad + b"\n" + GOOD)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("number", [" 4", "4 ", "\x0b4", "4_0", "nan", "inf", "True", "", "1e", "0x1", '"4"'])
def test_numbers_beside_text_are_held_to_the_same_rules(number: str) -> None:
    with pytest.raises(DataError, match=r"^f, line 1: expected rating as a finite number"):
        parse(f"u\ti\t{number}\t1\n".encode(), kinds=TEXT_KINDS)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"", "an empty file"), (b"\xef\xbb\xbf", "an empty file"), (GOOD.decode().encode("utf-16"), "UTF-16")],
)
def test_refuses_what_is_not_text(data: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        parse(data)


def test_refuses_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BLOCK_BYTES", 64)
    monkeypatch.setattr(table, "MAX_LINE_BYTES", 256)
    with pytest.raises(DataError, match=r"line 3: expected a line of at most 256 bytes"):
        parse(GOOD + b"1" * 1000)


def test_line_numbers_run_on_from_block_to_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BLOCK_BYTES", 32)
    with pytest.raises(DataError, match=r"^f, line 101: .*found 'x'"):
        parse(GOOD * 50 + b"x\t1\t1\t1\n" + GOOD)


def test_double_colons_and_quotes() -> None:
    assert parse(GOOD.replace(b"\t", b"::"), Layout("::", LAYOUT.columns)) == parse(GOOD)
    quoted = b'"a,""b",i,1,2\n'
    assert parse(quoted, Layout(",", LAYOUT.columns, quotes=True), TEXT_KINDS)["user"] == ['a,"b']
    with pytest.raises(DataError, match="matching quotes"):
        parse(b'"a,i,1,2\n', Layout(",", LAYOUT.columns, quotes=True), TEXT_KINDS)


@pytest.mark.parametrize("kinds", [KINDS, TEXT_KINDS])
@pytest.mark.parametrize("delimiter", ["\t", "::", ",", " "])
def test_plain_files_take_the_fast_way(monkeypatch: pytest.MonkeyPatch, kinds: dict[str, Kind], delimiter: str) -> None:
    monkeypatch.setattr(table, "_read_lines", lambda *_: pytest.fail("read line by line"))
    text = GOOD.replace(b"\t", delimiter.encode())
    assert parse(text, Layout(delimiter, LAYOUT.columns), kinds)["rating"] == [5.0, 3.5]


def test_only_the_mark_at_the_start_of_a_file_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = "\ufeff".encode()
    assert parse(mark + mark + GOOD, kinds=TEXT_KINDS)["user"] == ["\ufeff1", "2"]
    monkeypatch.setattr(table, "BLOCK_BYTES", len(GOOD))
    assert parse(GOOD + mark + GOOD, kinds=TEXT_KINDS)["user"] == ["1", "2", "\ufeff1", "2"]


FIELD = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(str),
    st.text("0123456789.-+eE _xinfa\"'#\0\r\ufeffé\uff13", max_size=6),
    st.sampled_from(
        ["", "NA", "nan", "inf", "True", "0x10", "1e5", "+5", "--5", ".", "1.", ".5", "1e", "007", "1,5", " 4", "4 "]
    ),
)
LINES = st.lists(st.lists(FIELD, min_size=3, max_size=5), min_size=1, max_size=4)


BLOCKS = given(
    lines=LINES, delimiter=st.sampled_from(["\t", "::", ",", "|"]), as_text=st.booleans(), quotes=st.booleans()
)


@BLOCKS
@settings(max_examples=300, deadline=None)
def test_the_fast_way_agrees_with_the_definition(
    lines: list[list[str]], delimiter: str, as_text: bool, quotes: bool
) -> None:
    assert_ways_agree(lines, delimiter, as_text, quotes)


@pytest.mark.slow
@BLOCKS
@settings(max_examples=15_000, deadline=None)
def test_the_fast_way_agrees_at_length(lines: list[list[str]], delimiter: str, as_text: bool, quotes: bool) -> None:
    assert_ways_agree(lines, delimiter, as_text, quotes)


def assert_ways_agree(lines: list[list[str]], delimiter: str, as_text: bool, quotes: bool) -> None:
    block = "".join(delimiter.join(fields) + "\n" for fields in lines).encode()
    layout, kinds = Layout(delimiter, LAYOUT.columns, quotes), TEXT_KINDS if as_text else KINDS
    fast = table._read_fast(block, layout, kinds)
    if fast is None:
        return
    slow = table._read_lines(block, "f", layout, kinds, 1)
    for name, kind in kinds.items():
        if kind == "number":
            np.testing.assert_allclose(fast[name], slow[name], rtol=1e-14, atol=0)
        else:
            assert fast[name].tolist() == slow[name].tolist()


@given(fields=st.lists(st.tuples(*[FIELD] * 4), min_size=1, max_size=3), kind=st.sampled_from([KINDS, TEXT_KINDS]))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_columns_or_a_named_line(fields: list[tuple[str, ...]], kind: dict[str, Kind]) -> None:
    try:
        columns = parse("\n".join("\t".join(row) for row in fields).encode(), kinds=kind)
    except DataError as error:
        named = "line" in str(error)
    else:
        named = bool(np.isfinite(columns["rating"]).all())
    assert named


def test_the_file_is_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "a b.tsv"
    path.write_bytes(b"1\n")
    with path.open("rb") as stream, pytest.raises(DataError, match=r"a b\.tsv, line 1"):
        list(read(lines_of(stream, str(path)), str(path), LAYOUT, KINDS, 1))
