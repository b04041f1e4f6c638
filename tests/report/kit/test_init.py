"""Without the extra that draws, the kit says how to get it."""

import importlib
import sys

import pytest

from ncf.errors import ConfigError


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_the_extra_the_kit_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    importlib.import_module("ncf.report.kit")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "ncf.report.kit")
    with pytest.raises(ConfigError, match=rf"{package} is not installed; pip install 'ncf\[report\]' brings it"):
        importlib.import_module("ncf.report.kit")
