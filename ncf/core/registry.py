"""Components by name: what `group=name` picks from. Only code adds to a registry, never a configuration file."""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from ncf.core.roles import RESULT, Role
from ncf.errors import ConfigError

Component = Callable[..., Any]

IMPORTS = "NCF_IMPORT"
"""Environment variable that hands the modules of `--import` on to worker processes."""


class Registry(dict[str, Component]):
    """The components of one configuration group.

    Args:
        group: its name, such as "loss".
        components: name -> class or function whose keyword-only parameters are the YAML keys.
        role: what choosing one of them means to a run.
    """

    def __init__(self, group: str, components: Mapping[str, Component], role: Role = RESULT) -> None:
        super().__init__(components)
        self.group, self.role = group, role

    def add(self, name: str, component: Component) -> None:
        """Add a component of the user's own. Raises ConfigError for a name that another component has."""
        if self.get(name, component) is not component:
            raise ConfigError(f"register: {self.group}={name} exists already; expected another name")
        self[name] = component


def import_extensions(modules: str) -> None:
    """Import `modules` (names with commas between), which register their components, here and in worker processes.

    Raises:
        ConfigError: one cannot be imported.
    """
    for module in filter(None, modules.split(",")):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"--import {module}: cannot be imported ({error})") from None
    known = [name for name in os.environ.get(IMPORTS, "").split(",") if name]
    os.environ[IMPORTS] = ",".join(dict.fromkeys([*known, *filter(None, modules.split(","))]))


def import_inherited_extensions() -> None:
    """Import what the parent process, or the user by setting `NCF_IMPORT`, asked for. Raises as `import_extensions`."""
    import_extensions(os.environ.get(IMPORTS, ""))
