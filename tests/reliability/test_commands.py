"""Every command, those to come included, on the same bad days: one line, the promised status, nothing half-written."""

import importlib
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from apart import Deed, finish
from finished_runs import FinishedRuns
from made_up import REGISTRATION, registration, write
from made_up import runs as made_up_runs
from toys import small

import ncf
from ncf.core import command_line
from ncf.launch import hydra_app
from ncf.launch.progress import write_plan
from ncf.runs.artifacts import RESULT

PACKAGE = Path(ncf.__file__).parent
pytestmark = pytest.mark.timeout(60)


@dataclass
class Place:
    """What commands work on: finished runs, a data root, a study's tables, a sweep, and a place to write to."""

    runs: FinishedRuns
    root: Path
    results: Path
    sweep: Path
    output: Path

    def run(self, name: str = "ease") -> str:
        """The folder of a finished run."""
        return str(self.runs[name])


Arguments = Callable[[Place], list[str]]

# What a user would type; a command that is added to the package has to be added here.
COMMANDS: dict[str, Arguments] = {
    "ncf.train": lambda p: [*small(p.root), "trainer.epochs=1", f"hydra.run.dir='{p.output}'"],
    "ncf.simulate": lambda p: [
        "agent=random",
        "environment.users=20",
        "environment.items=12",
        "environment.requests=9",
        "periods=2",
        f"hydra.run.dir='{p.output}'",
    ],
    "ncf.service": lambda p: [
        f"run={p.run()}",
        f"against={p.run('puresvd')}",
        f"world.run={p.run('mf')}",
        "world.users=60",
        "world.places=3",
        "world.candidates=6",
        "days=5",
        "device=cpu",
        "design=ab,interleave",
        f"hydra.run.dir='{p.output}'",
    ],
    "ncf.tune": lambda p: ["model=ease", *_data(p), "trials=1", f"folder={p.output}"],
    "ncf.negatives": lambda p: [*_data(p), "evaluation.negatives=9", f"output={p.output.with_suffix('.npz')}"],
    "ncf.beyond": lambda p: [f"run={p.run()}"],
    "ncf.imbalance": lambda p: [f"run={p.run('several')}", "n=5"],
    "ncf.compare": lambda p: [p.run(), p.run("puresvd")],
    "ncf.status": lambda p: [str(p.sweep)],
    "ncf.export": lambda p: [f"run={p.run('mf')}", f"output={p.output}", "forms=npy"],
    "ncf.recommend": lambda p: [f"run={p.run()}", "user=all", "format=csv"],
    "ncf.report": lambda p: [f"results={p.results}", f"registration={p.results.with_name('registration.yaml')}"],
    "ncf.data": lambda p: _data(p),
    "ncf.off_policy": lambda p: [f"log={_log(p)}", "policy=uniform"],
    "ncf.effect": lambda p: [f"data={_units(p)}", "treatment=t", "outcome=y", "confounders=x", f"page={p.output}.html"],
    "ncf.rollout": lambda p: [
        f"data={_panel(p)}",
        "unit=u",
        "time=t",
        "treated=d",
        "outcome=y",
        "draws=99",
        f"page={p.output}.html",
    ],
    "ncf.abtest": lambda p: [f"data={_experiment(p)}", "unit=user", "arm=arm", "metric=clicks", f"output={p.output}"],
    "ncf.interleave": lambda p: [f"data={_experiment(p)}", "session=user", "ranker=arm", "clicks=clicks"],
}
READS_A_RUN = ["ncf.beyond", "ncf.compare", "ncf.export", "ncf.imbalance", "ncf.recommend"]
WRITES_A_FILE = {
    "ncf.negatives": "output",
    "ncf.recommend": "output",
    "ncf.effect": "page",
    "ncf.rollout": "page",
}  # by this option
HYDRA = {"ncf.train", "ncf.simulate", "ncf.service"}
RESUMABLE = {*HYDRA, "ncf.tune"}  # heed a signal by themselves, and end with 75


def _data(place: Place) -> list[str]:
    return [override for override in small(place.root) if override.startswith("data")]


def _log(place: Place) -> Path:
    """A file of logged feedback."""
    path = place.sweep / "log.csv"
    path.write_text("item,propensity,reward\n" + "1,0.5,1\n2,0.5,0\n" * 50)
    return path


def _units(place: Place) -> Path:
    """A file of units that were treated or not."""
    path = place.output.with_name("units.csv")
    lines = (f"{n % 2},{n % 7 + n % 2},{n * 37 % 101}" for n in range(200))
    path.write_text("\n".join(["t,y,x", *lines]))
    return path


def _panel(place: Place) -> Path:
    """A file of units of which a third is treated from the fourth of six periods on, and a third from the fifth."""
    path = place.output.with_name("panel.csv")
    rows = ((u, t, int(u % 3 > 0 and t >= 2 + u % 3)) for u in range(60) for t in range(6))
    path.write_text("\n".join(["u,t,d,y", *(f"{u},{t},{d},{u * 37 % 11 + t + d + u * t % 5}" for u, t, d in rows)]))
    return path


def _experiment(place: Place) -> Path:
    """The rows of an experiment."""
    path = place.output.with_name("experiment.csv")
    rows = [f"{user},{'AB'[user % 2]},{user % 7}" for user in range(40)]
    path.write_text("\n".join(["user,arm,clicks", *rows]) + "\n")
    return path


def module(name: str) -> str:
    """The module that has the command's `main`."""
    folder = PACKAGE.parent.joinpath(*name.split("."))
    return f"{name}.__main__" if folder.is_dir() else name


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a finished study, its registration beside them."""
    folder = tmp_path_factory.mktemp("study")
    write(folder, made_up_runs(registration()))
    (folder / "registration.yaml").write_text(REGISTRATION)
    (folder / "report.yaml").write_text("report: [protocol, missing]\n")  # figures would take most of the time
    return folder / "results.csv"


@pytest.fixture
def place(runs: FinishedRuns, root: Path, results: Path, tmp_path: Path) -> Place:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    write_plan(sweep, "toy", {"run-1": 4})
    return Place(runs, root, results, sweep, tmp_path / "output")


def typed(name: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit status of a command in this process."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    run = hydra_app.run if name in HYDRA else command_line.run
    try:
        run(importlib.import_module(module(name)).main)
    except SystemExit as ending:
        return ending.code or 0
    return 0


def one_line(said: str) -> str:
    """The one line on stderr, beside progress and warnings that are lines of their own."""
    lines = [line for line in said.splitlines() if "error: " in line]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    return lines[0]


def test_every_command_is_here() -> None:
    modules = {f"ncf.{path.stem}" for path in PACKAGE.glob("*.py")} - {"ncf.__init__", "ncf.__main__", "ncf.errors"}
    packages = {f"ncf.{path.parent.name}" for path in PACKAGE.glob("*/__main__.py")}
    assert set(COMMANDS) == modules | packages


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_line(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(name, [*COMMANDS[name](place), "--frobnicate", "1"], monkeypatch) == 2
    assert "frobnicate" in one_line(capsys.readouterr().err)
    assert not place.output.exists()


@pytest.mark.parametrize("name", READS_A_RUN)
@pytest.mark.parametrize("damage", ["missing", "fifo", "empty", "folder"])
def test_a_run_that_is_none_is_one_line_at_once(
    name: str, damage: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bad = tmp_path / "bad"
    if damage != "missing":
        bad.mkdir()
    if damage == "fifo":
        os.mkfifo(bad / RESULT)
    if damage == "empty":
        (bad / RESULT).touch()
    if damage == "folder":
        (bad / RESULT).mkdir()
    arguments = COMMANDS[name](place)
    for run in ("ease", "mf", "several"):
        arguments = [argument.replace(place.run(run), str(bad)) for argument in arguments]
    begun = time.monotonic()
    assert typed(name, arguments, monkeypatch) == 2
    assert time.monotonic() - begun < 2
    assert str(bad) in one_line(capsys.readouterr().err)
    assert not place.output.exists()


@pytest.mark.parametrize("name", WRITES_A_FILE)
def test_a_full_device_as_output_is_one_line_and_stays_a_device(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    option = WRITES_A_FILE[name]
    arguments = [a for a in COMMANDS[name](place) if not a.startswith(f"{option}=")]
    assert typed(name, [*arguments, f"{option}=/dev/full"], monkeypatch) in (1, 2)
    said = "a file that ends in .html" if option == "page" else "No space left on device"
    assert said in one_line(capsys.readouterr().err)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.parametrize("name", WRITES_A_FILE)
def test_an_output_in_a_folder_that_is_none_is_one_line(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    option = WRITES_A_FILE[name]
    place.output.write_text("a file")
    arguments = [a for a in COMMANDS[name](place) if not a.startswith(f"{option}=")]
    assert typed(name, [*arguments, f"{option}={place.output / 'x.html'}"], monkeypatch) in (1, 2)
    one_line(capsys.readouterr().err)
    assert place.output.read_text() == "a file"


def full_stdout() -> None:
    """A deed: stdout is on a full disk."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def closed_stdout() -> None:
    """A deed: stdout is closed, as after `>&-`."""
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]  # as Python does at its start


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("deed", [full_stdout, closed_stdout])
def test_a_stdout_that_takes_nothing_gives_no_traceback(name: str, deed: Deed, place: Place, tmp_path: Path) -> None:
    log = tmp_path / "log"
    ended = finish(COMMANDS[name](place), log, deed, module=module(name))
    assert ended in (0, 1), log.read_text()
    assert "Traceback" not in log.read_text()
    assert "Exception ignored" not in log.read_text()


class Sent:
    """A deed: the process is sent a signal when it first opens a file for writing, or reads a run or its data."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> None:
        fired = []

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event == "open" and not fired and "ncf-signal" not in str(arguments[0]) and _of_interest(arguments[0]):
                fired.append(event)
                os.kill(os.getpid(), self.number)

        sys.addaudithook(hook)


def _of_interest(path: object) -> bool:
    return isinstance(path, str | Path) and str(path).endswith((".npz", "result.json", ".csv", ".db", ".db.lock"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {*RESUMABLE, "ncf.status"}])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_without_a_trace(
    name: str, number: int, status: int, place: Place, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    assert finish(COMMANDS[name](place), log, Sent(number), module=module(name)) == status, log.read_text()
    assert "Traceback" not in log.read_text()
    left = [path for path in (*place.output.parent.rglob("*"), *place.root.rglob("*")) if path.name.startswith(".tmp-")]
    assert left == []
