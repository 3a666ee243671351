"""Every public name of version 0.1 still works, and a changed one says its new name."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import pytest

from pace_integrations._renamed import MODULES, NAMES, resolve_renamed

# What ``__all__`` and the reference had in version 0.1, with the attributes of its classes.
LISTED = Path(__file__).with_name("names_of_0_1.txt").read_text(encoding="utf-8").splitlines()
FORMER = {module: names.split() for module, _, names in (line.partition(": ") for line in LISTED)}
# Formats are functions now, and their parsers are handed no file: see the changelog.
GONE = {
    "pace_integrations.documents.types": {
        "Job.at",
        "Job.journal",
        "PagedReader.read_into",
        "Reader.read",
    },
    "pace_integrations.documents": {"Reader.read"},
}
CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def has_member(owner: object, name: str) -> bool:
    declared = (getattr(owner, fields, {}) for fields in ("__dataclass_fields__", "model_fields"))
    return hasattr(owner, name) or any(name in fields for fields in declared)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("module", FORMER)
def test_every_former_public_name_imports(module: str) -> None:
    holder = importlib.import_module(module)
    missing = []
    for name in FORMER[module]:
        owner, _, member = name.partition(".")
        found = getattr(holder, owner, None)
        if found is None or (member and not has_member(found, member)):
            missing.append(name)
    assert set(missing) == GONE.get(module, set()) & set(FORMER[module])


@pytest.mark.parametrize("old", NAMES)
def test_a_changed_name_warns_where_it_is_written(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = f"pace_integrations.{old}".rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        holder = importlib.import_module(module)
    if name in vars(holder):  # a moved module of that name, where one was imported
        monkeypatch.delattr(holder, name)
    with pytest.warns(DeprecationWarning, match=name) as seen:
        assert getattr(holder, name) is not None
    assert seen[0].filename == __file__
    assert NAMES[old].replace(":", ".") in str(seen[0].message)


@pytest.mark.parametrize("old", MODULES)
def test_a_moved_module_is_found_where_it_was(old: str) -> None:
    assert importlib.import_module(f"pace_integrations.{old}").__name__.endswith(old)
    assert importlib.import_module(f"pace_integrations.{MODULES[old]}")


def test_a_function_stays_callable_behind_a_module_of_its_name() -> None:
    importlib.import_module("pace_integrations.experts.reorder")
    experts = importlib.import_module("pace_integrations.experts")
    with (
        pytest.raises(TypeError, match="reorder_neurons"),
        pytest.warns(DeprecationWarning, match="reorder_neurons"),
    ):
        experts.reorder()


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'sort'"):
        resolve_renamed("pace_integrations.experts", "sort")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pace_integrations.no_such_module")


def test_the_changelog_has_a_row_for_every_changed_name() -> None:
    rows = [line for line in CHANGELOG.read_text(encoding="utf-8").splitlines() if "|" in line]
    table = "\n".join(rows)
    for old in (*MODULES, *NAMES):
        assert f"`{old}`" in table, old
