"""Locate the configuration folder and compose a run's configuration from it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ncf.core import trust
from ncf.core.advice import explained
from ncf.core.overrides import override
from ncf.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The configuration folder: inside the package when installed from a wheel, beside it in a checkout."""

OmegaConf.register_new_resolver("conf_folder", lambda: str(CONF), replace=True)  # for --help


@contextmanager
def configuration() -> Iterator[None]:
    """Initialise Hydra with `conf/` for the duration of the context, unless it is initialised already."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def compose(overrides: Sequence[str], config_dir: str | None = None, root: str = "train") -> DictConfig:
    """Compose the configuration of a training run, or of what another root configuration describes.

    Args:
        overrides: as on the command line of `ncf.train`, for example ["model=ease", "model.l2=200.0"].
        config_dir: a folder of the user's own YAML files, searched in addition to `conf/`.
        root: name of the root configuration, "train" or "simulate".

    Raises:
        ConfigError: the overrides do not compose, or `config_dir` is not a folder or could run code.
    """
    extra = []
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir: expected a folder, got {config_dir!r}")
        trust.refuse_code(Path(config_dir), exempt=CONF / "hydra")
        extra.append(override("hydra.searchpath", [f"file://{Path(config_dir).resolve()}"]))
    try:
        with configuration():
            return hydra.compose(root, [*overrides, *extra])
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: a number of 5,000 digits
        raise ConfigError(explained(error, CONF)) from None
