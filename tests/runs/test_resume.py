"""Going on with a run: the command line that `resume=<folder>` stands for, and what may not change."""

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from toys import compose, random_split

from ncf.core.config import flatten
from ncf.errors import CheckpointError, ConfigError
from ncf.runs.checkpoint import Checkpoint
from ncf.runs.components import CHOICES
from ncf.runs.identity import resolved
from ncf.runs.plan import RunPlan, plan_run
from ncf.runs.resume import history, refuse_changes, refuse_less, refuse_other_data, spelt_out
from ncf.training.trainer import Progress


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["loss=focal", "seed=7", "resume=elsewhere"]))
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["seed=1"], ["resume=", "seed=1"], ["resume=null"], ["--help"]])
def test_other_command_lines_stay_as_they_are(arguments: list[str]) -> None:
    assert spelt_out(arguments, CHOICES) == arguments


def test_what_began_the_run_comes_first_so_that_what_is_given_counts(folder: Path) -> None:
    line = spelt_out([f"resume={folder}", "trainer.epochs=9"], CHOICES)
    assert line[:3] == ["loss=focal", "seed=7", "trainer.epochs=9"]
    assert f"hydra.run.dir='{folder}'" in line
    assert compose(*[o for o in line if not o.startswith("hydra")]).trainer.epochs == 9


def test_the_last_of_several_folders_counts(folder: Path) -> None:
    assert f"hydra.run.dir='{folder}'" in spelt_out(["resume=gone", f"resume={folder}"], CHOICES)


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.yaml: cannot be read \(No such file or directory\)"):
        spelt_out([f"resume={tmp_path}"], CHOICES)


BEGAN = resolved(compose())
FREE = {
    "trainer.epochs", "trainer.patience",  # how long to train
    "trainer.threads", "trainer.cuda_graph", "trainer.sharding", "trainer.checkpoint_every",  # of the machine
    "evaluation.memory_mb",
    "data.root", "data.archive", "data.item_features", "data.user_features",  # where files lie
    "trainer.progress", "tracking.name", "dynamics", "registration", "resume",  # what is shown or kept beside it
}  # fmt: skip


@pytest.mark.parametrize("key", flatten(BEGAN))
def test_a_run_goes_on_with_another_value_of_what_cannot_change_its_steps_and_of_nothing_else(key: str) -> None:
    other = OmegaConf.create(BEGAN)
    OmegaConf.update(other, key, "something else", merge=False)
    assert isinstance(other, DictConfig)
    if key in FREE:
        refuse_changes(Path("run"), resolved(other), BEGAN)
        return
    found = rf"other settings than it was started with \(.*{re.escape(key)}: .* -> 'some"
    with pytest.raises(CheckpointError, match=found):
        refuse_changes(Path("run"), resolved(other), BEGAN)


def test_all_that_differs_is_named() -> None:
    with pytest.raises(CheckpointError) as caught:
        refuse_changes(Path("run"), resolved(compose("loss=focal", "seed=7", "trainer.epochs=3")), BEGAN)
    assert str(caught.value) == (
        "run: cannot resume with other settings than it was started with "
        "(loss.alpha: None -> 0.25; loss.gamma: None -> 2.0; loss.name: 'bce' -> 'focal'; seed: 42 -> 7)"
    )


def epochs(*values: float) -> list[dict[str, float]]:
    """A history with these values of the monitored metric."""
    return [{"epoch": number, "ndcg@10": value} for number, value in enumerate(values, 1)]


def plan(*overrides: str) -> RunPlan:
    return plan_run(compose(*overrides))


@pytest.mark.parametrize(
    ("overrides", "history", "ended"),
    [
        (["trainer.epochs=3"], epochs(0.1, 0.2, 0.3), None),
        (["trainer.epochs=2"], epochs(0.1, 0.2, 0.3), 2),
        (["trainer.patience=2"], epochs(0.3, 0.2, 0.1), None),
        (["trainer.patience=1"], epochs(0.3, 0.2, 0.1), 2),
        (["trainer.patience=1"], epochs(0.1, 0.2, 0.3), None),
        (["model=popularity", "trainer.patience=1"], [{"epoch": 1}], None),
    ],
)
def test_a_run_does_not_go_on_where_it_would_have_ended_before(
    overrides: list[str], history: list[dict[str, float]], ended: int | None
) -> None:
    settings = plan(*overrides).trainer
    if ended is None:
        refuse_less(Path("run"), settings, history)
        return
    found = rf"^run: {len(history)} epochs are done, but with .*{overrides[-1]}.* ended after {ended}; start it in"
    with pytest.raises(CheckpointError, match=found):
        refuse_less(Path("run"), settings, history)


def test_what_is_behind_a_run_is_what_its_checkpoint_says() -> None:
    began = plan()
    progress = Progress(epoch=2, history=epochs(0.1))
    saved = Checkpoint.model_construct(settings=began.settings, progress=progress, data_digest="d")
    assert history(Path("run"), saved, None, began) == epochs(0.1)
    assert history(Path("run"), None, None, began) == []
    assert history(Path("run"), None, {"config": began.settings}, began) == []
    for found in ((saved, None), (None, {"config": began.settings})):
        with pytest.raises(CheckpointError, match=r"seed: 42 -> 7"):
            history(Path("run"), *found, plan("seed=7"))


def test_other_data_is_refused_and_the_first_versions_did_not_say() -> None:
    split = random_split(3, 5)
    saved = [Checkpoint.model_construct(data_digest=digest) for digest in (None, split.digest, "other")]
    for one in (None, *saved[:2]):
        refuse_other_data(Path("run"), one, split)
    with pytest.raises(CheckpointError, match=rf"^run: cannot resume with other data .* \(other -> {split.digest}\)$"):
        refuse_other_data(Path("run"), saved[2], split)
