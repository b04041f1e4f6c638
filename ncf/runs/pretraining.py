"""The initial weights of `model=neumf_pretrained`, from the run folders of a GMF and an MLP.

A run is identified by the digest of these weights, not by the paths of the folders: the configuration computes it with
`${pretrained:...}`, so once the towers are retrained it is a different run, which cannot resume the former one.
"""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from ncf.data.split import Split
from ncf.errors import ConfigError
from ncf.models.pretrained import PretrainedNeuMF
from ncf.runs import artifacts, checkpoint

_SOURCES = ("gmf", "mlp")


def weights(source: str, folder: Path) -> dict[str, Tensor]:
    """Return the best weights of the finished run of model `source` in `folder`.

    Raises:
        ConfigError: there is no such run, it is not finished, or it trained another model.
        CheckpointError: its checkpoint is missing, damaged or another run's.
    """
    result = _finished(source, folder)
    if (name := result["config"]["model"]["name"]) != source:
        raise ConfigError(
            f"model.pretrained_{source}: expected a run of model={source}, found model={name} in {folder}"
        )
    return checkpoint.of_result(folder, result).best


def digest(*folders: str) -> str:
    """Return the SHA-256 hex digest of the weights in the GMF and MLP run folders. Raises as `weights`."""
    return checkpoint.digest([weights(*one) for one in zip(_SOURCES, map(Path, folders), strict=True)])


def start(model: PretrainedNeuMF, split: Split) -> None:
    """Load the pre-trained weights into `model`, which is on the CPU.

    Raises:
        ConfigError: as `weights`; or a run was trained on other data or has other shapes.
    """
    folders = {"gmf": Path(model.pretrained_gmf), "mlp": Path(model.pretrained_mlp)}
    for source, folder in folders.items():
        found = _finished(source, folder)["data_digest"]
        if found != split.digest:
            raise ConfigError(
                f"model.pretrained_{source}: expected a run on data with digest {split.digest[:16]}, "
                f"found {found[:16]} in {folder}"
            )
    gmf, mlp = (weights(source, folder) for source, folder in folders.items())
    if checkpoint.digest([gmf, mlp]) != model.pretrained_digest:
        raise ConfigError("model.pretrained_digest: does not match the pre-trained weights; it is computed, not set")
    model.start_from(gmf, mlp)


def _finished(source: str, folder: Path) -> dict[str, Any]:
    result = artifacts.read_result(folder)
    if result is None:
        raise ConfigError(
            f"model.pretrained_{source}: expected the folder of a finished run of model={source}, "
            f"found no {artifacts.RESULT} in {folder}"
        )
    return result


OmegaConf.register_new_resolver("pretrained", digest, replace=True)
