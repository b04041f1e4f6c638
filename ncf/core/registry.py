"""Registries of components, from which `group=name` selects. Only code adds to them, never a configuration file."""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from ncf.core.roles import RESULT, Role
from ncf.errors import ConfigError

Component = Callable[..., Any]

IMPORTS = "NCF_IMPORT"
"""Environment variable that passes the modules of `--import` to worker processes."""


class Registry(dict[str, Component]):
    """The components of one configuration group.

    Args:
        group: name of the group, such as "loss".
        components: name -> class or function whose keyword-only parameters are the YAML keys.
        role: role of the choice in a run.
    """

    def __init__(self, group: str, components: Mapping[str, Component], role: Role = RESULT) -> None:
        super().__init__(components)
        self.group, self.role = group, role

    def add(self, name: str, component: Component) -> None:
        """Register a user's own component. Raises ConfigError if another component has the name."""
        if self.get(name, component) is not component:
            raise ConfigError(f"register: {self.group}={name} is already registered; expected another name")
        self[name] = component


def import_extensions(modules: str) -> None:
    """Import `modules` (comma-separated), which register their components, here and in worker processes.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for module in filter(None, modules.split(",")):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"--import {module}: cannot be imported ({error})") from None
    known = [name for name in os.environ.get(IMPORTS, "").split(",") if name]
    os.environ[IMPORTS] = ",".join(dict.fromkeys([*known, *filter(None, modules.split(","))]))


def import_inherited_extensions() -> None:
    """Import the modules in `NCF_IMPORT`, set by the parent process or the user. Raises like `import_extensions`."""
    import_extensions(os.environ.get(IMPORTS, ""))
