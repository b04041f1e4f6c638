"""The stream of a file's text: gzip unfolds as it is read, and what is no text is named."""

import gzip
import io

import pytest

from ncf.data import compressed
from ncf.data.compressed import text_stream
from ncf.errors import DataError

TEXT = b"".join(b"%d,%d\n" % (n, n * n) for n in range(20_000))


def whole(content: bytes, size: int) -> bytes:
    """All that the stream gives, `size` bytes at a time."""
    stream, parts = text_stream(io.BytesIO(content), "x.csv"), list[bytes]()
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("size", [1, 7, 4096, 10**7])
def test_gzip_of_one_or_several_members_is_the_text_whatever_is_asked_for_at_a_time(size: int) -> None:
    text = TEXT[:3000] if size == 1 else TEXT
    assert whole(gzip.compress(text), size) == text
    assert whole(gzip.compress(text[:100]) + gzip.compress(text[100:]), size) == text
    assert whole(text, size) == text


@pytest.mark.parametrize("cut", [1, 4, 8, 12, 1000])
def test_a_cut_off_gzip_is_an_error_and_never_a_shorter_text(cut: int) -> None:
    with pytest.raises(DataError, match=r"x\.csv: .*(cut off|cannot be read)"):
        whole(gzip.compress(TEXT)[:-cut], 4096)


@pytest.mark.parametrize("length", [2, 3, 4, 10, 17])
def test_a_beginning_of_a_gzip_file_is_an_error(length: int) -> None:
    with pytest.raises(DataError, match=r"^x\.csv: cannot be read \(the gzip data is cut off\)$"):
        whole(gzip.compress(TEXT)[:length], 4096)


def test_a_flipped_byte_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(gzip.compress(TEXT))
    content[len(content) // 2] ^= 1
    with pytest.raises(DataError, match=r"x\.csv: cannot be read"):
        whole(bytes(content), 4096)


def test_what_unfolds_too_far_is_refused_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_ALWAYS_ALLOWED", 1 << 16)
    parts = [gzip.compress(bytes(1 << 15) + b"\n") for _ in range(100)]
    with pytest.raises(DataError, match=r"at most 200 times its size, found"):
        whole(b"".join(parts), 4096)


@pytest.mark.parametrize("head", compressed._FORMATS)
def test_every_format_that_is_known_is_named(head: bytes) -> None:
    with pytest.raises(DataError, match=f"found {compressed._FORMATS[head]}$"):
        text_stream(io.BytesIO(head + bytes(50)), "x.csv")


def test_text_of_any_alphabet_with_some_control_characters_is_text() -> None:
    for content in ("user,item\n\x01,ü\n2,3\n4,5\n" * 30).encode(), b"", b"a", b"\xff\xfea\0,\0":
        assert text_stream(io.BytesIO(content), "x.csv").read(10**6) == content
