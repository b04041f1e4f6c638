"""Jobs at Ray: their order, how many at a time, those whose process dies, and the stop; all without ray."""

import importlib.util
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn
from toys import compose

from ncf.core.compose import configuration
from ncf.errors import ConfigError
from ncf.launch import hydra_app, ray_jobs
from ncf.launch.ray_jobs import Room, _connected, _own, _own_handler_kept, _Tasks
from ncf.train import main


class Errors:
    """The names of ray.exceptions that are used."""

    class WorkerCrashedError(Exception): ...

    class OutOfMemoryError(Exception): ...

    class NodeDiedError(Exception): ...


class Ray:
    """In the place of ray, and of its remote function: ends the task first begun at each look.

    Args:
        fates: number of a job -> what becomes of its task: a result, or an error.
        after: a stop signal comes once so many tasks have ended.
    """

    exceptions = Errors

    def __init__(self, fates: dict[int, Any], after: int = 0) -> None:
        self.fates, self.after = fates, after
        self.begun: list[int] = []
        self.most, self.ended, self.waited = 0, 0, 0
        self.cancelled: list[int] = []

    def remote(self, shared: Any, overrides: list[str], number: int) -> int:
        """Begin a task."""
        assert shared == "shared"
        assert overrides == [f"seed={number}"]
        self.begun.append(number)
        return number

    def wait(self, tasks: list[int], num_returns: int = 1, timeout: float = 0) -> tuple[list[int], list[int]]:
        """End the first of the tasks."""
        if num_returns > 1 or self.cancelled:
            self.waited = num_returns
            return tasks, []
        self.most = max(self.most, len(tasks))
        self.ended += 1
        if self.ended == self.after:
            signal.raise_signal(signal.SIGTERM)
        return tasks[:1], tasks[1:]

    def get(self, task: int) -> Any:
        """Return what becomes of it, or raise it."""
        fate = self.fates.get(task, task)
        if isinstance(fate, Exception):
            raise fate
        return fate

    def cancel(self, task: int) -> None:
        """Note it."""
        self.cancelled.append(task)


def tasks(ray: Ray, count: int, at_once: int) -> _Tasks:
    return _Tasks(ray, ray, "shared", [(n, [f"seed={n}"]) for n in range(count)], at_once)


def test_jobs_return_in_their_order_and_no_more_than_asked_for_are_in_hand() -> None:
    ray = Ray({})
    some = tasks(ray, 5, 2)
    some.work_off([])
    assert some.returned() == [0, 1, 2, 3, 4]
    assert ray.begun == [0, 1, 2, 3, 4]
    assert ray.most == 2
    assert some.died == 0


@pytest.mark.parametrize(
    "fate", [None, Errors.WorkerCrashedError(), Errors.OutOfMemoryError(), Errors.NodeDiedError()], ids=str
)
def test_a_job_whose_process_dies_stops_no_other(fate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(ray_jobs.time, "sleep", waited.append)
    some = tasks(Ray({1: fate}), 4, 2)
    some.work_off([])
    assert some.returned() == [0, 2, 3]
    assert some.died == 1
    assert bool(waited) is (fate is not None)  # for the run that Ray's worker has left to save itself


def test_an_error_of_ray_is_one_of_the_launcher() -> None:
    with pytest.raises(RuntimeError, match="no module called ncf"):
        tasks(Ray({1: RuntimeError("no module called ncf")}), 4, 2).work_off([])


class Installed(types.ModuleType):
    """A module ray of which `launch` can use all that it needs, and which notes what it was told."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.cloudpickle = types.SimpleNamespace(dumps=lambda content: b"pickled")
        self.options: dict[str, Any] = {}
        self.started: list[dict[str, Any]] = []
        self.tasks = Ray({})
        self.gpus = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.tasks, name)

    def is_initialized(self) -> bool:
        """As of ray."""
        return bool(self.started)

    def init(self, **options: Any) -> None:
        """As of ray: a handler of its own for SIGTERM."""
        self.started.append(options)
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))

    def cluster_resources(self) -> dict[str, float]:
        """As of ray."""
        return {"GPU": self.gpus} if self.gpus else {}

    def put(self, content: bytes) -> str:
        """As of ray."""
        return "shared"

    def remote(self, **options: Any) -> Any:
        """As of ray."""
        self.options = options
        return lambda function: self.tasks


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Installed:
    """In the place of the package."""
    for name in ray_jobs._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, ray_jobs._ENVIRONMENT[name])
    monkeypatch.setitem(sys.modules, "ray", module := Installed())
    return module


def launched(room: Room, count: int = 3) -> list[JobReturn]:
    return ray_jobs.launch((None, compose(), None), [[f"seed={n}"] for n in range(count)], 0, room)


def test_a_job_has_its_room_and_is_never_begun_again_by_ray(ray: Installed) -> None:
    assert launched(Room("local", -1, 2, 0)) == [0, 1, 2]
    assert ray.options == {"num_cpus": 2, "num_gpus": 0, "max_retries": 0}
    launched(Room("local", -1, 2, 0))
    assert len(ray.started) == 1  # a run that is made alone after that needs no other
    (options,) = ray.started
    assert options["address"] == "local"
    assert options["include_dashboard"] is False


def test_a_cluster_is_taken_as_it_is(ray: Installed) -> None:
    launched(Room("10.0.0.1:6379", 2, 1, 4))
    assert ray.started == [{"address": "10.0.0.1:6379", "log_to_driver": False, "configure_logging": False}]


def test_a_machine_without_the_gpus_is_refused_instead_of_waited_for(ray: Installed) -> None:
    with pytest.raises(ConfigError, match=r"^hydra\.launcher\.gpus: expected at most the 0 GPUs of this machine, got"):
        launched(Room("local", 2, 1, 1))
    ray.gpus = 1
    assert launched(Room("local", 2, 1, 0.25)) == [0, 1, 2]


def test_a_process_that_died_is_told_as_joblib_does(ray: Installed) -> None:
    """`ncf.launch.sweep` then makes the runs that were interrupted one at a time, and records one that dies again."""
    ray.tasks.fates = {1: None}
    with pytest.raises(ray_jobs.BrokenProcessPool, match="1 of 3 processes died"):
        launched(Room("local", 2, 1, 0))


def test_ray_leaves_the_sweeps_own_handler_of_signals(ray: Installed) -> None:
    before = signal.getsignal(signal.SIGTERM)
    launched(Room("local", 2, 1, 0))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_signal_has_its_effect_once_the_runs_in_hand_are_saved(ray: Installed) -> None:
    ray.tasks.after = 2
    saved: list[list[int]] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: saved.append(ray.tasks.cancelled))
    try:
        assert launched(Room("local", 3, 1, 0), 9) == [0, 1]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ray.tasks.begun == [0, 1, 2, 3]  # the fourth as the first had ended
    assert saved == [[2, 3]]
    assert ray.tasks.waited == 2


@pytest.mark.parametrize("code", [int(signal.SIGTERM), 3])
def test_a_stop_while_ray_starts_is_the_sweeps(code: int) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with pytest.raises(SystemExit), _own_handler_kept():
            sys.exit(code)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == ([signal.SIGTERM] if code == signal.SIGTERM else [])


@pytest.mark.parametrize(
    ("n_jobs", "cpus", "cores", "expected"),
    [(-1, 1, 2, None), (-1, 2, 2, None), (-1, 4, 2, 4), (3, 1, 2, 3), (2, 1.5, 2, 3), (1, 0.5, 2, 1)],
)
def test_a_ray_of_ones_own_has_room_for_what_is_asked(
    n_jobs: int, cpus: float, cores: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that needs more cores than there are would wait for ever."""
    monkeypatch.setattr(ray_jobs.os, "cpu_count", lambda: cores)
    assert _own(Room("local", n_jobs, cpus, 0))["num_cpus"] == expected


# The settings


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """refusal(*options) -> the line that a sweep with them is refused with, before anything starts."""

    def refused(*options: str) -> str:
        line = ["ncf.train", "-m", "seed=1,2", f"hydra.sweep.dir='{tmp_path / 'sweep'}'", "hydra/launcher=ray"]
        monkeypatch.setattr(sys, "argv", [*line, *options])
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        with pytest.raises(SystemExit) as ending:
            hydra_app.run(main)
        assert ending.value.code == 2
        assert not (tmp_path / "sweep").exists()
        (said,) = capsys.readouterr().err.splitlines()
        return str(said)

    return refused


def find(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ray installed, or not."""
    original = importlib.util.find_spec
    found = types.SimpleNamespace()
    monkeypatch.setattr(
        ray_jobs.importlib.util, "find_spec",
        lambda name, *more: (found if there else None) if name == "ray" else original(name, *more),
    )  # fmt: skip


def test_where_ray_is_missing_one_line_says_what_to_install(refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find(False, monkeypatch)
    assert refusal() == "error: hydra/launcher=ray: ray is not installed; pip install 'ncf[ray]' brings it"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("n_jobs=0", "n_jobs: expected -1 or an integer >= 1, got 0"),
        ("n_jobs=1.5", "n_jobs: expected -1 or an integer >= 1, got 1.5"),
        ("cpus=0", "cpus: expected a number > 0, got 0"),
        ("cpus=true", "cpus: expected a number > 0, got True"),
        ("gpus=-1", "gpus: expected a number >= 0, got -1"),
        ("gpus=all", "gpus: expected a number >= 0, got 'all'"),
        ("address=null", "address: expected local, auto or host:port, got None"),
    ],
)
def test_a_setting_that_is_none_is_one_line(
    option: str, said: str, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(True, monkeypatch)
    assert refusal(f"hydra.launcher.{option}") == f"error: hydra.launcher.{said}"


@pytest.mark.parametrize(
    ("root", "threads"), [("train", "trainer.threads=3"), ("simulate", "threads=3"), ("service", "threads=3")]
)
def test_ray_sets_as_many_cores_aside_as_a_run_has_threads(
    root: str, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hydra
    from hydra.core.plugins import Plugins

    find(True, monkeypatch)
    with configuration():
        config = hydra.compose(root, [threads, "hydra/launcher=ray"], return_hydra_config=True)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=None, task_function=lambda cfg: None, config=config  # type: ignore[arg-type]
        )  # fmt: skip
    assert launcher.room == Room("local", -1, 3, 0)  # type: ignore[attr-defined]


def test_no_cluster_is_told_in_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance.")

    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: False, init=init))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^hydra.launcher.address: expected a cluster of Ray at auto, .*--head"):
        _connected(Room("auto", 1, 1, 0))
