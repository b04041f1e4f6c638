"""Fault 16: every bad setting, as it is typed and as it stands in a YAML file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from apart import UNREAD, no_data, typed
from bad_settings import BAD, overrides
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from toys import compose

from ncf.errors import ConfigError
from ncf.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_global_left() -> Iterator[None]:
    """What a run sets for its process goes back."""
    yield
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_typed_it_is_one_line_and_status_2(bad: str, message: str, tmp_path: Path) -> None:
    status, said = typed(overrides(bad), tmp_path / "run")
    assert status == 2
    assert re.fullmatch(rf"(?i)error: [^\n]*(?:{message})[^\n]*\n", said), said


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_in_a_yaml_it_is_refused_by_its_key(bad: str, message: str, tmp_path: Path) -> None:
    """The whole configuration, written to a file of its own and read by Hydra."""
    (tmp_path / "bad.yaml").write_text(OmegaConf.to_yaml(compose(*overrides(bad))))
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        cfg = hydra_compose("bad")
    (tmp_path / "run").mkdir()
    with no_data(), pytest.raises(ConfigError, match=rf"(?i){message}") as caught:
        train(cfg, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").iterdir())


def test_right_settings_come_as_far_as_the_data(tmp_path: Path) -> None:
    assert typed(["neg_ratio=4"], tmp_path / "run") == (2, f"error: {UNREAD}\n")
