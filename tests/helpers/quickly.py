"""Configurations without Hydra, which takes 0.1 s for each: for tests of what becomes of many of them."""

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from toys import compose

from ncf.core.compose import CONF
from ncf.runs.components import GROUPS


def composed(*overrides: str) -> DictConfig:
    """What Hydra composes of these overrides, but for experiments: choices of a group come before its settings."""
    cfg = compose()
    OmegaConf.set_struct(cfg, False)
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    for override in sorted(parsed, key=lambda one: one.key_or_group not in GROUPS):
        key = override.key_or_group
        if override.is_delete():
            del cfg[key]
        elif key in GROUPS:
            cfg[key] = OmegaConf.load(CONF / key / f"{override.value()}.yaml")
        else:
            OmegaConf.update(cfg, key, override.value(), merge=False, force_add=True)
    return cfg
