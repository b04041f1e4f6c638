"""What every test of the package shares: one thread, a place for run folders, the real MovieLens-100K."""

import os
from collections.abc import Callable
from pathlib import Path

# Before numpy and torch are imported. Threads that wait for one another in a loop take ten to twenty times the
# processor's time where two workers share two cores: so one thread of OpenBLAS, and those of OpenMP sleep as they wait.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import garbage
import numpy as np
import pytest
import torch
from finished_runs import runs  # noqa: F401  a fixture
from leftovers import _marked, nothing_left_behind  # noqa: F401  fixtures of every test
from parsed_once import _parsed_once  # noqa: F401  a fixture of every test
from toys import compose

from ncf.data import Split, read_split


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Everything is imported and collected."""
    garbage.collect()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The sizes of tests are too small for more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `data.root` for the session, so that each synthetic set is made once."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="session")
def ml100k() -> Split:
    """The default split of the real MovieLens-100K, from the checkout's own `data/` so that it is fetched once."""
    cfg = compose(f"data.root={Path(__file__).parents[1] / 'data'}")
    return read_split(cfg)


@pytest.fixture
def untouched() -> Callable[[], bool]:
    """untouched() -> whether the global random states are still those from before the test."""
    before = global_states()
    return lambda: global_states() == before


def global_states() -> tuple[bytes, bytes]:
    """The states of torch's and numpy's global generators."""
    state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), repr(state).encode() + state[1].tobytes()
