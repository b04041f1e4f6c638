"""A run folder from a stranger: looked at or resumed, it fetches, writes, unfolds and gives away nothing."""

import json
import os
import resource
import shutil
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from finished_runs import FinishedRuns
from toys import compose, small

import ncf
from ncf import recommend
from ncf.errors import CheckpointError, ConfigError, NcfError
from ncf.runs import artifacts, checkpoint, ranks_file, resume, state
from ncf.runs.checkpoint import NEWEST
from ncf.runs.components import CHOICES
from ncf.runs.identity import resolved

SECONDS, MEGABYTES = 2, 200
SLACK = 2  # the machine may be shared


@pytest.fixture
def run(runs: FinishedRuns, tmp_path: Path) -> Path:
    """A stranger's run: finished, and with what a single run's folder holds."""
    folder = shutil.copytree(runs["gmf"], tmp_path / "run")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["seed=1"]))
    (folder / "failure.json").write_text('{"error": "x"}')
    (folder / ".lock").touch()
    return folder


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


READS: dict[str, Callable[[Path], object]] = {
    NEWEST: ncf.load,
    artifacts.RESULT: ncf.load,
    artifacts.RANKS: lambda run: ranks_file.read_ranks(run, "test"),
    artifacts.EPOCHS: state.run_status,
    ".hydra/overrides.yaml": lambda run: resume.spelt_out([f"resume={run}"], CHOICES),
    "failure.json": state.failure,
    ".lock": state._held,
}
SILENT = (artifacts.EPOCHS, "failure.json", ".lock")  # which tell what they can instead of failing


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    "kind", ["a FIFO", "/dev/zero", "a folder", "a socket", "a sparse terabyte", "a link to itself"]
)
def test_what_is_no_file_of_a_run_neither_stalls_nor_floods(name: str, kind: str, run: Path, tmp_path: Path) -> None:
    path = run / name
    path.unlink()
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a socket":
        os.chdir(path.parent)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    elif kind == "a sparse terabyte":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "/dev/zero" else path)
    start, before = time.perf_counter(), peak()
    said = ""
    try:
        READS[name](run)
    except NcfError as error:
        said = str(error)
    assert str(path) in said or name in SILENT
    assert "\n" not in said
    assert time.perf_counter() - start < SECONDS * SLACK
    assert peak() - before < MEGABYTES


@pytest.fixture(autouse=True)
def stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back to the working folder."""
    monkeypatch.chdir(Path.cwd())


def resigned(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(run / NEWEST, weights_only=True)
    del content["sha256"]
    change(content)
    torch.save({**content, "sha256": "of what does not matter"}, run / NEWEST)


def nested(content: dict[str, Any]) -> None:
    pair: Any = (1, 2)
    for _ in range(60):
        pair = (pair, pair)
    content["settings"]["x"] = pair


def in_itself(content: dict[str, Any]) -> None:
    content["settings"]["x"] = content["settings"]


TENSORS: dict[str, Callable[[dict[str, Any]], object]] = {
    "sparse": lambda c: c["best"].update(x=torch.eye(3).to_sparse()),
    "meta": lambda c: c["best"].update(x=torch.empty(1 << 40, device="meta")),
    "stride 0": lambda c: c["best"].update(x=torch.zeros(1).expand(1 << 40)),
    "stride 0 in part": lambda c: c["best"].update(x=torch.zeros(1, 1 << 20).expand(1 << 20, 1 << 20)),
    "pairs of pairs": nested,
    "in itself": in_itself,
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_checkpoint_that_unfolds_is_refused_at_once(kind: str, run: Path) -> None:
    resigned(run, TENSORS[kind])
    start, before = time.perf_counter(), peak()
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: not a checkpoint, or damaged") as caught:
        ncf.load(run)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < SECONDS * SLACK
    assert peak() - before < MEGABYTES


def test_a_pickle_that_hangs_torch_is_refused_at_once(run: Path) -> None:
    """A key of pairs of pairs, 60 deep, is hashed 2^60 times."""
    pairs = b"N" + b"".join(b"q" + bytes([place]) + b"h" + bytes([place]) + b"\x86" for place in range(60))
    with zipfile.ZipFile(run / NEWEST, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}" + pairs + b"Ns.")
    assert (run / NEWEST).stat().st_size < 1600
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match="not a checkpoint, or damaged"):
        ncf.load(run)
    assert time.perf_counter() - start < SECONDS


@pytest.mark.slow
def test_an_archive_that_unpacks_a_thousandfold_is_refused(run: Path) -> None:
    with zipfile.ZipFile(run / NEWEST) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(run / NEWEST, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, record in (records | {"archive/data/0": bytes(300 << 20)}).items():
            archive.writestr(name, record)
    before = peak()
    with pytest.raises(CheckpointError, match="not compressed"):
        ncf.load(run)
    assert peak() - before < MEGABYTES


BOMB = "- &a0 [x]\n" + "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize("text", [BOMB, "- seed=1\n" * 100_000, "[" * 60_000], ids=["aliases", "long", "nested"])
def test_overrides_that_unfold_are_refused_at_once(text: str, run: Path) -> None:
    (run / ".hydra" / "overrides.yaml").write_text(text)
    start, before = time.perf_counter(), peak()
    with pytest.raises(ConfigError, match=r"overrides\.yaml: ") as caught:
        resume.spelt_out([f"resume={run}"], CHOICES)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < SECONDS * SLACK
    assert peak() - before < MEGABYTES


@pytest.mark.parametrize(
    "line", ["+note=${oc.env:HOME}", "data.root='${oc.env:HOME}'", "seed=${seed}", "loss.gamma=${sha256:/etc/passwd}"]
)
def test_overrides_that_ask_for_the_environment_are_refused(line: str, run: Path) -> None:
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["seed=1", line]))
    with pytest.raises(ConfigError, match=r"overrides\.yaml: expected overrides without interpolations, found "):
        resume.spelt_out([f"resume={run}"], CHOICES)


def test_an_interpolation_in_a_result_stays_a_text(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the user")
    result = json.loads((run / artifacts.RESULT).read_text())
    result["config"]["data"]["root"] = "${oc.env:SECRET}"
    (run / artifacts.RESULT).write_text(json.dumps(result))
    assert "of the user" not in json.dumps(ncf.load(run).result)


def everything(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


OWN = {"root": "made/by/a/stranger", "url": "http://127.0.0.1:9/x.zip", "archive": "/etc/passwd"}


@pytest.mark.parametrize("data", ["synthetic", "ml-100k", "csv"])
def test_looking_at_a_run_writes_and_fetches_nothing(
    data: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever place, address and file its settings name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", None)
    result = json.loads((run / artifacts.RESULT).read_text())
    more = {"csv": ["data.archive=/etc/hostname"]}.get(data, [])
    settings = resolved(compose(f"data={data}", *more))["data"]
    if data == "synthetic":
        settings = result["config"]["data"]
    settings |= {key: value for key, value in OWN.items() if key in settings}
    result["config"]["data"] = settings
    (run / artifacts.RESULT).write_text(json.dumps(result))
    saved = checkpoint.read(run / NEWEST).state()
    checkpoint.save(run, saved | {"settings": result["config"]})
    before = everything(tmp_path)
    if data == "synthetic":
        recommend.main([f"run={run}", "user=1"])
    else:
        with pytest.raises(NcfError) as caught:
            recommend.main([f"run={run}", "user=1"])
        assert "root:" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


WRITTEN = (
    NEWEST, "checkpoint.previous.pt", artifacts.RESULT, artifacts.RANKS, artifacts.EPOCHS, artifacts.DYNAMICS,
    "failure.json", ".lock", "train.log",
)  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_a_link_out_of_a_run_is_not_written_through(name: str, run: Path, tmp_path: Path, root: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(small(root))))
    with (
        pytest.raises(CheckpointError, match=r"expected a file of the run, found a link to .*victim"),
        state.claim(run),
    ):
        pytest.fail("it was claimed")
    assert victim.read_text() == "precious"


def test_a_link_within_a_run_is_a_file_of_it(run: Path) -> None:
    (run / "best.pt").symlink_to(run / NEWEST)
    with state.claim(run):
        pass
