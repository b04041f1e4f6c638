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
            cfg[key] = _read(key, str(override.value()))
        else:
            OmegaConf.update(cfg, key, override.value(), merge=False, force_add=True)
    return cfg


def _read(group: str, name: str) -> DictConfig:
    """A choice of a group, after those that it is made of."""
    own = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(own, DictConfig)
    made_of = [other for other in own.pop("defaults", []) if other != "_self_"]
    merged = OmegaConf.merge(*(_read(group, other) for other in made_of), own)
    assert isinstance(merged, DictConfig)
    return merged
