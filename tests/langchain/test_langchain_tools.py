"""Everything LangChain takes for a tool or a schema, and agents that use several at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import ChatMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field, RootModel, SecretStr

from pace_integrations import Pace
from pace_integrations.errors import QuestionError
from pace_integrations.langchain import ChatPace
from pace_integrations.langchain.messages import to_messages
from pace_integrations.langchain.tools import convert_tool


@pytest.fixture
def chat(pace: Pace) -> ChatPace:
    return ChatPace(pace=pace, max_tokens=200)


class Node(BaseModel):
    """A tree."""

    leaf: bool
    below: list[Node] = Field(default_factory=list, max_length=1)


class Digits(RootModel[list[Annotated[int, Field(ge=0, le=9)]]]):
    """Numbers."""


class Odd(BaseModel):
    """Fields that a grammar knows nothing of."""

    place: Path
    secret: Annotated[SecretStr, Field(max_length=3)]
    kinds: set[Literal["a", "b"]] = Field(max_length=2)


METHODS = ["json_schema", "function_calling", "json_mode"]


@pytest.mark.parametrize("method", METHODS)
def test_every_schema_is_kept_by_every_method(chat: ChatPace, method: Any) -> None:
    for kind in (Node, Digits, Odd):
        assert isinstance(chat.with_structured_output(kind, method=method).invoke("?"), kind)
    listed = {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 2}
    assert set(chat.with_structured_output(listed, method=method).invoke("?")) <= {1, 2}
    union = {"anyOf": [{"const": "a"}, {"const": 7}]}
    assert chat.with_structured_output(union, method=method).invoke("?") in ("a", 7)
    untitled = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"]}
    assert chat.with_structured_output(untitled, method=method).invoke("?") == {"a": 1}


SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Paris"]}}, "required": ["city"]}


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function", "function": {"name": "rent", "parameters": SCHEMA}},
        {"name": "rent", "description": "Rent.", "parameters": SCHEMA},
        {"name": "rent", "description": "Rent.", "input_schema": SCHEMA},
        {"name": "rent", "description": "Rent.", "inputSchema": SCHEMA},
        {"title": "rent", **SCHEMA},
    ],
)
def test_tools_are_taken_in_the_form_of_openai_anthropic_and_mcp(
    chat: ChatPace, given: dict[str, Any]
) -> None:
    (call,) = chat.bind_tools([given], tool_choice="rent").invoke("?").tool_calls
    assert (call["name"], call["args"]) == ("rent", {"city": "Paris"})


def test_a_class_that_holds_itself_keeps_its_references() -> None:
    assert "$ref" in convert_tool(Node)["function"]["parameters"]

    def plant(tree: Node, deep: bool = False) -> str:
        """Plant a tree.

        Args:
            tree: What to plant.
            deep: Whether to dig.
        """
        return ""

    parameters = convert_tool(plant)["function"]["parameters"]
    assert parameters["properties"]["deep"]["description"] == "Whether to dig."
    assert convert_tool(lambda: None)["function"]["parameters"]["properties"] == {}


class Answer(BaseModel):
    """The rent."""

    rent: int = Field(ge=0, le=9999)


@pytest.mark.parametrize("strategy", [Answer, ProviderStrategy, ToolStrategy])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_agent_calls_its_tool_and_answers_with_an_object(
    pace: Pace, strategy: Any, streamed: bool
) -> None:
    called = []

    @tool
    def get_rent(city: str) -> str:
        """Monthly rent in a city."""
        called.append(city)
        return f"900 pounds in {city}"

    @tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        raise AssertionError("nobody asked for it")

    form = strategy if strategy is Answer else strategy(Answer)
    model = ChatPace(pace=pace, max_tokens=160)
    tools = [get_rent, get_weather]
    agent = create_agent(model, tools, response_format=form, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 8}
    for city in ("Paris", "Rome"):
        asked: Any = {"messages": [("user", f"What is the rent in '{city}'?")]}
        if streamed:
            steps = list(agent.stream(asked, config, stream_mode=["updates", "messages"]))
            assert {kind for kind, _ in steps} == {"updates", "messages"}
        else:
            agent.invoke(asked, config)
        found = agent.get_state(config).values["structured_response"]
        assert isinstance(found, Answer)
        assert called.pop() == city
        assert not called
        if strategy is not ToolStrategy:
            assert found.rent == 900  # of what the tool said


def test_roles_are_taken_under_every_name() -> None:
    names = ["developer", "human", "ai", "user", "model", "user"]
    made = to_messages([ChatMessage(role=name, content=name) for name in names])
    roles = ["system", "user", "assistant", "user", "assistant", "user"]
    assert [message["role"] for message in made] == roles
    with pytest.raises(QuestionError, match="role 'owner'"):
        to_messages([ChatMessage(role="owner", content="x")])


def test_a_system_message_alone_is_what_is_asked(chat: ChatPace) -> None:
    alone = chat.invoke([SystemMessage("Say hello.")], max_tokens=6)
    assert alone.content == chat.invoke([HumanMessage("Say hello.")], max_tokens=6).content


def test_an_answer_that_was_begun_is_continued(chat: ChatPace) -> None:
    whole = chat.invoke("Tell me.", max_tokens=12).content
    begun = whole[:5].rstrip()
    rest = chat.invoke([("human", "Tell me."), ("ai", begun)], max_tokens=7).content
    assert begun + rest == (whole[: len(begun)] + rest)
    assert rest
    assert whole.startswith(begun)


def test_parts_of_anthropic_and_openai_are_read() -> None:
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "b"}]},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "c"}},
    ]
    (made,) = to_messages([HumanMessage(parts)])
    assert made["content"] == "abc\n\n"
