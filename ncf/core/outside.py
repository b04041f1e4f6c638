"""Read files that come from outside, such as a stranger's run folder, without being stalled, flooded or emptied.

A FIFO blocks whoever opens it, a device has no end, and a small file can unfold into gigabytes. Everything that ncf did
not just write itself is opened here: only regular files, up to a size, and with a bound on what they unfold into.
"""

import itertools
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from ncf.errors import NcfError

MEGABYTE = 2**20
_LARGEST_TEXT = 64 * MEGABYTE
_LARGEST_YAML = MEGABYTE  # parsing takes about 10 s a MiB
_MOST_ELEMENTS = 1_000_000  # of a document, with aliases written out
_DEEPEST = 100
_MOST_LINES, _LONGEST_LINE = 100_000, 64 * 1024


def open_regular(path: Path, largest: int, error: type[NcfError]) -> BinaryIO:
    """Open a regular file of at most `largest` bytes for reading; links are followed.

    Raises:
        FileNotFoundError: there is no such file.
        NcfError: of the type `error`: the file is too large, no regular file, or cannot be opened.
    """
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to returns at once, and is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be opened ({getattr(cause, 'strerror', None) or cause})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: expected a regular file, found a {_kind(status.st_mode)}")
        if status.st_size > largest:
            raise error(f"{path}: expected a file of at most {_size(largest)}, found {_size(status.st_size)}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_text(path: Path, error: type[NcfError], largest: int = _LARGEST_TEXT) -> str:
    """Return the content of a UTF-8 file. Raises as `open_regular`, and `error` if it cannot be read or decoded."""
    with open_regular(path, largest, error) as file:
        try:
            content = file.read(min(largest, os.fstat(file.fileno()).st_size + 1))
            if content is None:  # of /proc/kmsg, a regular file by its mode
                raise error(f"{path}: cannot be read (it has nothing to say now)")
            return content.decode()
        except (OSError, UnicodeDecodeError) as cause:
            if isinstance(cause, NcfError):
                raise
            raise error(f"{path}: cannot be read ({cause})") from None


def read_json(path: Path, error: type[NcfError], largest: int = _LARGEST_TEXT) -> Any:
    """Return the value of a JSON file. Raises as `read_text`, and `error` for what is no JSON or nested too deeply."""
    text = read_text(path, error, largest)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise error(f"{path}: cannot be read ({cause})") from None


def read_json_lines(path: Path, error: type[NcfError]) -> list[dict[str, Any]]:
    """Return the objects of a file with one JSON object a line; a last line that is still being written is left out.

    Raises as `read_text`, and `error`, naming the line, for one that is no object, or too many or too long lines.
    """
    lines = read_text(path, error).split("\n")
    whole = lines[:-1] if not lines[-1].endswith("}") else lines
    if len(whole) > _MOST_LINES or max(map(len, whole), default=0) > _LONGEST_LINE:
        raise error(f"{path}: expected at most {_MOST_LINES:,} lines of {_LONGEST_LINE:,} characters, found more")
    return [_object(line, f"{path}, line {number}", error) for number, line in enumerate(whole, 1)]


def _object(line: str, where: str, error: type[NcfError]) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise error(f"{where}: cannot be read ({cause})") from None
    if not isinstance(value, dict):
        raise error(f'{where}: expected an object, such as {{"epoch": 1}}, found {line[:40]!r}')
    return value


def read_yaml(path: Path, error: type[NcfError]) -> Any:
    """Return the value of a YAML file, without running anything it names.

    Raises as `read_text` and `parse_yaml`.
    """
    return parse_yaml(read_text(path, error, _LARGEST_YAML), path, error)


def parse_yaml(text: str, path: Path, error: type[NcfError]) -> Any:
    """Return the value of `text`, the content of the YAML file `path`, without running anything it names.

    Raises `error` for what is no YAML, is nested too deeply, or unfolds into too many elements: in nine lines, aliases
    of aliases can stand for a billion elements.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if _elements(node, _DEEPEST, _MOST_ELEMENTS) > _MOST_ELEMENTS:  # before `<<` copies what aliases stand for
            raise error(f"{path}: expected at most {_MOST_ELEMENTS:,} elements nested {_DEEPEST} deep, found more")
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        if isinstance(cause, error):
            raise
        raise error(f"{path}: cannot be read ({str(cause).splitlines()[0]})") from None


def _elements(node: yaml.Node | None, depth: int, most: int) -> int:
    """Count the elements of a YAML tree, `most` + 1 for more than `most` or deeper than `depth`."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if depth == 0:
        return most + 1
    count = 1
    for element in itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value:
        count += _elements(element, depth - 1, most - count)
        if count > most:
            break
    return count


def _size(count: int) -> str:
    return f"{count / MEGABYTE:,.0f} MiB" if count >= MEGABYTE else f"{count / 1024:,.0f} KiB"


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "FIFO", stat.S_ISSOCK: "socket"}
    return next((name for test, name in kinds.items() if test(mode)), "device")
