"""Raw ratings: scales, checks by line, and ids whatever they are."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf.data.ratings import Columns, Ratings, Scale, collect
from ncf.data.table import Block
from ncf.data.times import LATEST
from ncf.errors import ConfigError, DataError

COLUMNS = Columns("u", "i", "r", "t")
HALF_STARS = Scale(0.5, 5.0, 0.5)
SECONDS = "expected t in whole seconds since 1970, before the year 2100"
GOOD: dict[str, list] = {"u": [7, 3, 7], "i": [1, 1, 2], "r": [5.0, 0.5, 3.5], "t": [10, 20, 30]}


def block(first_line: int = 1, **columns: list) -> Block:
    """A block of these columns, text as pandas gives it."""
    return Block(
        first_line, {n: np.array(v, object if v and isinstance(v[0], str) else None) for n, v in columns.items()}
    )


def collected(*blocks: Block, columns: Columns = COLUMNS, scale: Scale | None = HALF_STARS) -> Ratings:
    return collect(iter(blocks), "f", columns, scale, 1)


@pytest.mark.parametrize(
    ("scale", "on", "off"),
    [
        (Scale(1, 5, 1), [1, 2, 3, 4, 5], [0, 1.5, 6, -1, float("nan")]),
        (HALF_STARS, [0.5, 1, 4.5, 5], [0, 0.25, 5.5]),
        (Scale(0, 1, 0.1), [0.1, 0.3, 0.7, 1.0], [0.15, 1.1]),  # of which no tenth is exact in binary
    ],
)
def test_a_scale_holds_its_steps_and_nothing_between(scale: Scale, on: list[float], off: list[float]) -> None:
    assert scale.valid(np.array(on)).all()
    assert not scale.valid(np.array(off)).any()
    assert np.array(on) in scale
    assert np.array([*on, off[0]]) not in scale


def test_a_scale_says_what_it_is() -> None:
    assert str(HALF_STARS) == "a rating from 0.5 to 5 in steps of 0.5"
    assert Scale.of([0.5, 5.0, 0.5]) == HALF_STARS


@pytest.mark.parametrize("numbers", [[5, 1, 1], [1, 1, 1], [1, 5, 0], [1, 5, -1], [1, 5, 9]])
def test_numbers_that_make_no_scale_are_refused(numbers: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"^data\.scale: expected \[lowest, highest, step\], got"):
        Scale.of(numbers)


def test_the_columns_to_read_are_those_that_are_named() -> None:
    assert COLUMNS.kinds("text", "number") == {"u": "text", "i": "text", "r": "number", "t": "number"}
    assert Columns("u", "i", None, None).kinds("integer", "integer") == {"u": "integer", "i": "integer"}


def test_ids_become_places_in_their_sorted_list_over_all_blocks() -> None:
    ratings = collected(block(1, **GOOD), block(4, u=[1], i=[9], r=[4.0], t=[40]))
    assert ratings.user_ids.tolist() == [1, 3, 7]
    assert ratings.item_ids.tolist() == [1, 2, 9]
    assert ratings.users.tolist() == [2, 1, 2, 0]
    assert ratings.items.tolist() == [0, 0, 1, 2]
    assert ratings.ratings.tolist() == [5.0, 0.5, 3.5, 4.0]
    assert ratings.timestamps is not None
    assert ratings.timestamps.tolist() == [10, 20, 30, 40]
    assert (ratings.users.dtype, ratings.ratings.dtype, ratings.timestamps.dtype) == (np.int64, np.float32, np.int64)
    assert (ratings.label, ratings.first_line) == ("f", 1)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=3), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_text_ids_are_coded_as_a_sort_of_all_of_them_would(blocks: list[list[str]]) -> None:
    def stream() -> Iterator[Block]:
        line = 1
        for texts in blocks:
            yield block(line, u=texts, i=texts)
            line += len(texts)

    ratings = collect(stream(), "f", Columns("u", "i", None, None), None, 1)
    flat = [text for texts in blocks for text in texts]
    assert [str(ratings.user_ids[user]) for user in ratings.users] == flat
    ids = ratings.user_ids.tolist()
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["10", "9", "-3"], [-3, 9, 10]),
        (["10", "09"], ["09", "10"]),
        (["1", "x"], ["1", "x"]),
        (["1", str(2**63)], ["1", str(2**63)]),
        ([str(2**63 - 1), str(-(2**63))], [-(2**63), 2**63 - 1]),
        (["-0", "0"], ["-0", "0"]),
    ],
)
def test_text_ids_that_are_all_plain_integers_are_integers(texts: list[str], ids: list) -> None:
    places = list(map(str, range(len(texts))))
    ratings = collect(iter([block(1, u=texts, i=places)]), "f", Columns("u", "i", None, None), None, 1)
    assert ratings.user_ids.tolist() == ids
    assert [str(ratings.user_ids[user]) for user in ratings.users] == texts


def test_without_a_rating_column_every_rating_is_one_and_without_times_there_are_none() -> None:
    ratings = collected(block(1, u=[1, 2], i=[3, 4]), columns=Columns("u", "i", None, None), scale=None)
    assert ratings.ratings.tolist() == [1.0, 1.0]
    assert ratings.ratings.dtype == np.float32
    assert ratings.timestamps is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"r": [5.0, 0.7, 3.5]}, "line 12: expected a rating from 0.5 to 5 in steps of 0.5, found '0.7'"),
        ({"t": [10, -1, 30]}, f"line 12: {SECONDS}, found '-1'"),
        ({"t": [10.0, 20.5, 30.0]}, f"line 12: {SECONDS} (below a second, data.time=ms reads "),
        ({"t": [10, LATEST, 30]}, f"line 12: {SECONDS}, found '{LATEST}'"),
        ({"u": ["a", "", "b"]}, "line 12: expected u of 1 to 256 characters, found ''"),
        ({"i": ["a", "b" * 257, "b"]}, "line 12: expected i of 1 to 256 characters, found"),
    ],
)  # fmt: skip
def test_the_line_of_a_bad_value_is_named(change: dict[str, list], complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        collected(block(1, **GOOD), block(11, **(GOOD | change)))
    assert str(caught.value).startswith(f"f, {complaint}")


def test_a_rating_beyond_a_32_bit_number_is_refused_where_no_scale_is_given() -> None:
    with pytest.raises(DataError, match=r"^f, line 3: expected r within the range of float32, found '1e\+39'$"):
        collected(block(1, **(GOOD | {"r": [5.0, 0.7, 1e39]})), scale=None)


def test_the_latest_second_that_is_believed_is_the_last_before_2100() -> None:
    ratings = collected(block(1, **(GOOD | {"t": [0, LATEST - 1, 30]})))
    assert ratings.timestamps is not None
    assert ratings.timestamps.tolist() == [0, LATEST - 1, 30]


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"^f, line 1: expected at least one rating, found 'the end of the file'$"):
        collected()
