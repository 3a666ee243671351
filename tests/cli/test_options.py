"""Every setting is an option of the shell or named as none, has one default, and is documented."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from pace_integrations import GenerationConfig, MemoryConfig, Pace, ReadConfig
from pace_integrations.cli import app
from pace_integrations.cli.commands.eval import RunOptions
from pace_integrations.cli.options import GROUPS, FileOptions
from pace_integrations.cli.spelling import to_shell_words
from pace_integrations.documents import ReadLimits, ReadOptions
from pace_integrations.evaluation.arm_runner import RunSettings

# Settings that the shell leaves to programs, and why.
NOT_IN_SHELL = {
    "trust_remote_code": "code that comes with a checkpoint runs only where a program says so",
    "experts": "pace experts and pace cluster set it themselves",
    "reserve": "the room for answers follows from --max-new-tokens",
    "checkpoints": "they help those who change a session, and the shell changes none",
    "constraint": "a schema or a grammar has no place on a command line",
    "workers": "they are as many as the work is worth",
    "limits": "its fields are settings of their own",
    "pages": "a limit for services that read what strangers send",
    "memory": "bytes; --memory-limit has it in MiB, since --memory turns the activation memory on",
    "expanded": "the same",
    "size": "the same",
}
SPELLED = {"seconds": "time_limit"}  # a setting's name, and the option's where they differ


def list_settings() -> dict[str, Any]:
    """Settings by name, with their defaults."""
    load = inspect.signature(Pace.load).parameters.values()
    found = {p.name: p.default for p in load}
    for config in (GenerationConfig, ReadConfig, ReadOptions, ReadLimits):
        found |= {field.name: default_of(field) for field in fields(config)}
    return found


def default_of(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


OPTIONS = {field.name: field for group in GROUPS for field in fields(group)}
SETTINGS = list_settings()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_an_option_or_named_as_none(name: str) -> None:
    known = SPELLED.get(name, name) in OPTIONS
    assert known or name in NOT_IN_SHELL, (
        f"{name}: add an option to cli/options.py, or a reason here"
    )


def test_no_reason_outlives_its_setting() -> None:
    assert set(NOT_IN_SHELL) <= set(SETTINGS)


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"memory", "store", "rule", "memory_limit"}))
def test_an_option_stands_for_a_setting_and_has_its_default(name: str) -> None:
    setting = {option: name for name, option in SPELLED.items()}.get(name, name)
    assert setting in SETTINGS, f"--{name} stands for no setting"
    default = SETTINGS[setting]
    assert OPTIONS[name].default == (None if default == () else default)


def test_a_run_of_the_evaluation_has_an_option_for_each_setting() -> None:
    options = {field.name: field.default for field in fields(RunOptions)}
    assert options == {field.name: field.default for field in fields(RunSettings)}


def test_the_limit_of_memory_is_in_mebibytes() -> None:
    assert FileOptions().make_options().limits == ReadLimits()
    assert FileOptions(memory_limit=64).make_options().limits.memory == 64 * 2**20


def walk(command: Any, words: tuple[str, ...] = ("pace",)) -> Iterator[tuple[str, Any]]:
    yield " ".join(words), command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*words, name))


COMMANDS = dict(walk(typer.main.get_command(app)))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_taken_by_a_command_and_explained(name: str) -> None:
    taken = [p for c in COMMANDS.values() for p in c.params if p.name == name]
    assert taken, f"no command takes the group of --{name}"
    assert all(getattr(parameter, "help", None) for parameter in taken)


def test_ask_and_chat_take_the_same_options() -> None:
    ask, chat = ({p.name for p in COMMANDS[f"pace {name}"].params} for name in ("ask", "chat"))
    assert ask - chat == {"question", "highlight"}
    assert chat - ask == set()


@pytest.mark.parametrize("owner", [GenerationConfig, ReadConfig, MemoryConfig, ReadOptions])
def test_every_field_is_documented(owner: type) -> None:
    documented = re.findall(r"^ {4}(\w+): ", inspect.getdoc(owner) or "", re.M)
    assert [field.name for field in fields(owner)] == documented


def test_every_argument_of_load_is_documented() -> None:
    hints = [name for name in get_type_hints(Pace.load) if name != "return"]
    documented = re.findall(r"^ {4}(\w+): ", inspect.getdoc(Pace.load) or "", re.M)
    assert [name for name in hints if name not in documented] == []


def test_a_forgotten_option_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(OPTIONS, "temperature")
    with pytest.raises(AssertionError, match="temperature"):
        test_a_setting_is_an_option_or_named_as_none("temperature")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("load it with overflow='yarn' or 'window'", "load it with --overflow yarn or window"),
        ("lower max_new_tokens, or ask less", "lower --max-new-tokens, or ask less"),
        ("temperature must not be negative, got -1", "--temperature must not be negative, got -1"),
        ("ReadOptions.pdf must be one of x", "--pdf must be one of x"),
        ("seconds must be above 0", "--time-limit must be above 0"),
        ("read the model in 5 seconds", "read the model in 5 seconds"),
        ("'int3' is no store", "'int3' is no store"),
    ],
)
def test_errors_speak_the_words_of_the_shell(message: str, shown: str) -> None:
    assert to_shell_words(message) == shown


def test_the_page_of_commands_shows_every_option() -> None:
    hooks: dict[str, Any] = {}
    file = Path(__file__).parents[2] / "docs" / "hooks.py"
    exec(compile(file.read_text(), file, "exec"), hooks)
    page = "\n".join(hooks["iter_sections"]())
    flags = [f"--{name.replace('_', '-')}" for name in OPTIONS if name != "memory"]
    assert [flag for flag in flags if flag not in page] == []
