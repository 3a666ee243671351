"""Every rule in the registry is complete, and nothing of a rule stands outside the registry."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import pytest
from slow_bank import SLOW_BANKS
from typer.testing import CliRunner

from pace_integrations import config
from pace_integrations._memory_rules import RULES
from pace_integrations.cli import app
from pace_integrations.config import MemoryConfig
from pace_integrations.evaluation.arms import ARMS
from pace_integrations.memory import rules

FOLDER = Path(rules.__file__).parent
SHARED = {"__init__", "slots"}  # modules of the folder that are no rules


def test_every_module_of_the_folder_is_a_rule_in_the_registry() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - SHARED
    assert modules == set(RULES), "memory/rules/*.py against RULES in _memory_rules.py"


def test_every_rule_has_a_slow_reference() -> None:
    assert set(SLOW_BANKS) == set(RULES), "SLOW_BANKS in tests/helpers/slow_bank.py against RULES"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_known_to_settings_shell_and_evaluation(rule: str) -> None:
    info = RULES[rule]
    made = MemoryConfig(rule=rule)
    assert (made.theta_low, made.theta_high, made.blend) == (
        info.theta_low,
        info.theta_high,
        info.blend,
    )
    assert rule in get_args(config.Rule)
    assert ARMS[rule].memory == made
    assert info.about in ARMS[rule].about
    names = [*inspect.signature(rules.UPDATES[rule]).parameters]
    assert names == ["bank", "found", "positions", "config"]


def test_the_shell_offers_every_rule_and_refuses_others() -> None:
    said = CliRunner().invoke(app, ["memory", "nowhere", "--rule", "other"]).output
    assert [rule for rule in RULES if f"'{rule}'" not in said] == []
