"""Recognise running out of memory, which Python and torch report by different errors; and how much is left."""

import re
import resource
from pathlib import Path

_TORCH = re.compile("out of memory|can't allocate memory|not enough memory|Cannot allocate memory", re.IGNORECASE)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether `error`, or an error that caused it, says that no memory was left."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and _TORCH.search(str(error))):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def available() -> float:
    """Return how many bytes this process may still take: what the machine has free, or fewer under a limit.

    Heeds the limits of `ulimit -v` and of a container (cgroup v2); infinite where the system does not say.
    """
    return min(_free(), _addresses_left(), _container_left())


def _free() -> float:
    try:
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    return int(found[1]) * 1024.0 if found else float("inf")


def _addresses_left() -> float:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        used = 0
    return float(limit - used)


def _container_left(folder: Path = Path("/sys/fs/cgroup")) -> float:
    """`folder`: of the control group, as a container sees its own."""
    try:
        limit, used = (int((folder / f"memory.{name}").read_text()) for name in ("max", "current"))
        cached = re.search(r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no such group, or "max" for no limit
        return float("inf")
    return float(limit - used + int(cached[1] if cached else 0))
