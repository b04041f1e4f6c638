"""NeuMF initialised from a trained GMF and a trained MLP (He et al. 2017, section 3.4.1)."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ncf.core.roles import MACHINE
from ncf.errors import ConfigError
from ncf.models.mlp import Share
from ncf.models.neumf import NeuMF

Weights = Mapping[str, Tensor]
"""The state dict of a model."""


class PretrainedNeuMF(NeuMF):
    """NeuMF whose initial logits are alpha times the GMF's plus 1 - alpha times the MLP's.

    A model reads no file: `ncf.runs.pretraining` finds the weights in the run folders and calls `start_from`. They are
    not needed to load a finished run.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        gmf_factors: Annotated[int, Field(ge=1)],
        mlp_factors: Annotated[int, Field(ge=1)],
        hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)],
        pretrained_gmf: Annotated[str, Field(min_length=1), MACHINE],
        pretrained_mlp: Annotated[str, Field(min_length=1), MACHINE],
        pretrained_digest: str,
        alpha: Annotated[float, Field(ge=0, le=1)],
        dropout: Share,
    ) -> None:
        super().__init__(
            num_users, num_items, gmf_factors=gmf_factors, mlp_factors=mlp_factors, hidden=hidden, dropout=dropout
        )
        self.pretrained_gmf, self.pretrained_mlp = pretrained_gmf, pretrained_mlp
        self.pretrained_digest, self.alpha = pretrained_digest, alpha

    @torch.no_grad()
    def start_from(self, gmf: Weights, mlp: Weights) -> None:
        """Copy both towers, and set the output layer to [alpha h_gmf, (1 - alpha) h_mlp] (eq. 13), its bias likewise.

        Raises:
            ConfigError: a weight does not have the shape that this model's settings require.
        """
        for source, weights, tower in (("gmf", gmf, self.gmf), ("mlp", mlp, self.mlp)):
            own = {f"tower.{name}": tensor for name, tensor in tower.state_dict().items()}
            _refuse_other_shapes(source, weights, own)
            for name, tensor in own.items():
                tensor.copy_(weights[name])
        halves = (self.alpha * gmf["output.weight"], (1 - self.alpha) * mlp["output.weight"])
        self.output.weight.copy_(torch.cat(halves, dim=1))
        self.output.bias.copy_(self.alpha * gmf["output.bias"] + (1 - self.alpha) * mlp["output.bias"])


def _refuse_other_shapes(source: str, weights: Weights, own: Weights) -> None:
    for name in sorted(own.keys() | {name for name in weights if name.startswith("tower.")}):
        expected, found = (tuple(w[name].shape) if name in w else None for w in (own, weights))
        if expected != found:
            raise ConfigError(
                f"model.pretrained_{source}: expected {name.removeprefix('tower.')} of shape {expected}, given by "
                f"model.gmf_factors, mlp_factors and hidden, found {found}"
            )
