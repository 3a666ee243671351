"""The activation memory is off by default, and one setting turns it on wherever a model loads."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pace_integrations import MemoryConfig, Pace
from pace_integrations.cli import app
from pace_integrations.errors import PaceError
from pace_integrations.langchain import ChatPace
from pace_integrations.langchain import PaceLLM as LangChainLLM
from pace_integrations.llama_index import PaceChatEngine, PaceLLM, PaceQueryEngine

# How it is asked for in a program, in the shell, and what the model is then loaded with.
SPELLED: dict[str, tuple[dict[str, Any], list[str], MemoryConfig | None]] = {
    "unsaid": ({}, [], None),
    "off": ({"memory": None}, ["--no-memory"], None),
    "on": ({"memory": MemoryConfig()}, ["--memory"], MemoryConfig()),
}

Load = Callable[[Path, dict[str, Any], list[str]], object]


def in_shell(*words: str) -> Load:
    return lambda place, _, switch: CliRunner().invoke(
        app, [word.format(place) for word in (*words, *switch)], catch_exceptions=False
    )


def in_chat_engine(place: Path, options: dict[str, Any], _: list[str]) -> object:
    """LlamaIndex has a `memory` of its own here."""
    own = {f"activation_{name}": value for name, value in options.items()}
    return PaceChatEngine.from_paths(place / "notes.txt", **own).chat("When?")


LOADS: dict[str, Load] = {
    "Pace.load": lambda _, options, __: Pace.load(**options),
    "pace ask": in_shell("ask", "{}/notes.txt", "When?"),
    "pace chat": in_shell("chat", "{}/notes.txt"),
    "pace bench": in_shell("bench"),
    "pace serve": in_shell("serve", "--port", "0", "--data", "{}/data"),
    "pace mcp": in_shell("mcp", "--data", "{}/data"),
    "ChatPace": lambda place, options, _: ChatPace(paths=place / "notes.txt", **options).invoke(
        "When?"
    ),
    "LangChain's PaceLLM": lambda place, options, _: LangChainLLM(
        paths=place / "notes.txt", **options
    ).invoke("When?"),
    "LlamaIndex's PaceLLM": lambda place, options, _: PaceLLM(
        paths=place / "notes.txt", **options
    ).complete("When?"),
    "PaceQueryEngine": lambda place, options, _: PaceQueryEngine.from_paths(
        place / "notes.txt", **options
    ).query("When?"),
    "PaceChatEngine": in_chat_engine,
}


@pytest.mark.enable_socket
@pytest.mark.parametrize("said", SPELLED)
@pytest.mark.parametrize("load", LOADS)
def test_the_memory_is_off_unless_it_is_asked_for(
    load: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MemoryConfig | None] = []
    signature = inspect.signature(Pace.load)

    def record(*values: object, **options: object) -> Pace:
        bound = signature.bind(*values, **options)
        bound.apply_defaults()
        asked.append(bound.arguments["memory"])
        raise PaceError("nothing is loaded here")

    monkeypatch.setattr(Pace, "load", record)
    (tmp_path / "notes.txt").write_text("The gate opens at seven.")
    options, switch, expected = SPELLED[said]
    with contextlib.suppress(PaceError):
        LOADS[load](tmp_path, options, switch)
    assert asked == [expected]


def test_the_command_that_looks_into_it_turns_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def record(**options: object) -> Pace:
        asked.append(options["memory"])
        raise PaceError("nothing is loaded here")

    monkeypatch.setattr(Pace, "load", record)
    (tmp_path / "notes.txt").write_text("The gate opens at seven.")
    in_shell("memory", "{}/notes.txt")(tmp_path, {}, [])
    in_shell("memory", "{}/notes.txt", "--rule", "paper")(tmp_path, {}, [])
    assert asked == [MemoryConfig(), MemoryConfig(rule="paper")]
