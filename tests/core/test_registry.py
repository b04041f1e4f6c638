"""Registries hold components by name; only code, and what the user types after --import, adds to them."""

import os
import sys
from pathlib import Path

import pytest

from ncf.core.registry import IMPORTS, Registry, import_extensions, import_inherited_extensions
from ncf.core.roles import MACHINE, RESULT
from ncf.errors import ConfigError


def first() -> int:
    return 1


def second() -> int:
    return 2


def test_a_registry_is_a_mapping_with_a_group_and_a_role() -> None:
    registry = Registry("toy", {"first": first})
    assert dict(registry) == {"first": first}
    assert (registry.group, registry.role) == ("toy", RESULT)
    assert Registry("toy", {}, MACHINE).role is MACHINE


def test_a_component_is_added_under_a_name_of_its_own() -> None:
    registry = Registry("toy", {"first": first})
    registry.add("second", second)
    registry.add("second", second)  # a module imported twice
    assert dict(registry) == {"first": first, "second": second}


def test_another_component_of_a_name_that_is_taken_is_refused() -> None:
    registry = Registry("toy", {"first": first})
    with pytest.raises(ConfigError, match=r"^register: toy=first is already registered; expected another name$"):
        registry.add("first", second)
    assert registry["first"] is first


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two modules that nothing has imported yet, and no import inherited."""
    monkeypatch.delenv(IMPORTS, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    names = ["toy_extension_a", "toy_extension_b"]
    for name in names:
        (tmp_path / f"{name}.py").write_text("")
        monkeypatch.delitem(sys.modules, name, raising=False)
    return names


def test_extensions_are_imported_here_and_handed_on_to_worker_processes(modules: list[str]) -> None:
    import_extensions(",".join(modules))
    assert all(name in sys.modules for name in modules)
    assert os.environ[IMPORTS].split(",") == modules


def test_extensions_are_handed_on_once_each_in_the_order_of_their_import(modules: list[str]) -> None:
    import_extensions(modules[1])
    import_extensions(f"{modules[0]},,{modules[1]}")
    assert os.environ[IMPORTS].split(",") == [modules[1], modules[0]]


def test_a_worker_imports_what_it_inherits(modules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IMPORTS, modules[0])
    import_inherited_extensions()
    assert modules[0] in sys.modules
    assert modules[1] not in sys.modules


def test_without_anything_inherited_nothing_is_imported(modules: list[str]) -> None:
    import_inherited_extensions()
    assert not any(name in sys.modules for name in modules)
    assert not os.environ.get(IMPORTS)


def test_a_module_that_cannot_be_imported_is_one_line_and_is_not_handed_on(modules: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^--import no_such_module: cannot be imported \(No module named") as caught:
        import_extensions(f"{modules[0]},no_such_module")
    assert "\n" not in str(caught.value)
    assert not os.environ.get(IMPORTS)
