"""Tools, structured output, citations and held prompts of the LangChain chat model."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic.v1
import pytest
from house import PAGES, QUESTION, SHORT
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from pdfs import typeset
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from pace_integrations import Corpus, Pace, Session
from pace_integrations.errors import ConfigError, QuestionError
from pace_integrations.langchain import ChatPace, PaceLLM
from pace_integrations.langchain.messages import to_messages
from pace_integrations.model.engine import Engine


@pytest.fixture
def chat(pace: Pace) -> ChatPace:
    """A random model: what holds for it holds for any."""
    return ChatPace(pace=pace, max_tokens=130, temperature=1.0, seed=3)


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def greet(name: str) -> str:
    """Greets somebody."""
    return f"Hello {name}"


class Address(BaseModel):
    """Where something is."""

    street: str
    number: int = Field(ge=1, le=99)


class Place(BaseModel):
    """A place."""

    name: str
    address: Address
    tags: list[str] = Field(max_length=3)


class OldPlace(pydantic.v1.BaseModel):
    """A place of the old kind."""

    name: str


class DictPlace(TypedDict):
    """A place as a dict."""

    name: Annotated[str, ..., "its name"]


METHODS = ["json_schema", "function_calling", "json_mode"]


@pytest.mark.parametrize("method", METHODS)
def test_structured_output_is_of_the_class_whatever_the_model(chat: ChatPace, method: Any) -> None:
    assert isinstance(chat.with_structured_output(Place, method=method).invoke("Where?"), Place)
    assert isinstance(chat.with_structured_output(OldPlace, method=method).invoke("?"), OldPlace)
    assert set(chat.with_structured_output(DictPlace, method=method).invoke("?")) == {"name"}
    schema = {**Address.model_json_schema(), "title": "address", "description": "Where."}
    found = chat.with_structured_output(schema, method=method).invoke("?")
    assert Address.model_validate(found)


def test_structured_output_gives_the_message_when_asked(chat: ChatPace) -> None:
    result = chat.with_structured_output(Address, include_raw=True).invoke("Where?")
    assert result["parsing_error"] is None
    assert Address.model_validate_json(result["raw"].content) == result["parsed"]
    last = list(chat.with_structured_output(Address).stream("Where?"))[-1]
    assert isinstance(last, Address)


async def test_structured_output_is_awaited(chat: ChatPace) -> None:
    assert isinstance(await chat.with_structured_output(Address).ainvoke("Where?"), Address)


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("kind", [Cat | Dog, Annotated[list[Dog], Field(max_length=2)]])
def test_structured_output_is_of_any_type(chat: ChatPace, kind: Any, method: Any) -> None:
    model = chat.with_structured_output(kind, method=method)
    made = model.invoke("A pet.")
    for one in made if isinstance(made, list) else [made]:
        assert isinstance(one, Cat | Dog)
    assert list(model.stream("A pet."))[-1] == made


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_may_call_a_tool_first(chat: ChatPace, method: Any) -> None:
    model = chat.model_copy(update={"tool_policy": "first"}).with_structured_output(
        Dog, method=method, tools=[add], include_raw=True
    )
    asked: list[Any] = [HumanMessage("Add 2 and 3.")]
    first = model.invoke(asked)
    assert first["parsed"] is None
    assert first["parsing_error"] is None
    (call,) = first["raw"].tool_calls
    assert call["args"].keys() == {"a", "b"}
    if method == "json_schema":
        later = model.invoke([*asked, first["raw"], ToolMessage("5", tool_call_id=call["id"])])
        assert isinstance(later["parsed"], Dog), later


def test_tools_are_converted_wherever_they_are_given(chat: ChatPace, pace: Pace) -> None:
    for ask in (chat.bind(tools=[add], tool_choice="any"), chat):
        said = ask.invoke("Add 2 and 3.", tools=[add], tool_choice="any")
        assert said.tool_calls[0]["name"] == "add"
    text = PaceLLM(pace=pace, max_tokens=130).invoke("x", tools=[add], tool_choice="any")
    assert text.startswith('<tool_call>\n{"name":"add"')


def test_a_method_that_is_not_known_is_refused(chat: ChatPace) -> None:
    with pytest.raises(ConfigError, match="'telepathy'"):
        chat.with_structured_output(Address, method="telepathy")  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["any", "required", True, "add", {"function": {"name": "add"}}])
def test_a_required_call_is_made(chat: ChatPace, choice: Any) -> None:
    message = chat.bind_tools([add, greet], tool_choice=choice).invoke("Do something.")
    (call,) = message.tool_calls
    assert call["name"] in ("add", "greet") if choice in ("any", "required", True) else "add"
    assert (add if call["name"] == "add" else greet).invoke(call["args"]) is not None
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_several_calls_are_told_apart(chat: ChatPace) -> None:
    bound = chat.bind_tools([add, greet], tool_choice="any", parallel_tool_calls=True)
    messages = (bound.invoke("Do a lot.", seed=seed, max_tokens=150) for seed in range(20))
    most = next(message for message in messages if len(message.tool_calls) > 1)
    assert len({call["id"] for call in most.tool_calls}) == len(most.tool_calls)


def test_streamed_calls_are_those_of_the_whole(chat: ChatPace) -> None:
    bound = chat.bind_tools([add], tool_choice="any")
    whole = bound.invoke("Add.")
    streamed = AIMessageChunk(content="")
    for chunk in bound.stream("Add."):
        streamed = streamed + chunk
    assert [c["args"] for c in streamed.tool_calls] == [c["args"] for c in whole.tool_calls]
    assert streamed.content == whole.content == ""


def test_without_a_choice_the_policy_decides(chat: ChatPace) -> None:
    history = [
        HumanMessage("What is 3 + 4?"),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 3, "b": 4}, "id": "1"}]),
        ToolMessage("7", tool_call_id="1"),
    ]
    first = chat.bind_tools([add])
    call = first.invoke(history[:1]).tool_calls[0]
    # Values come from what the user wrote.
    assert set(call["args"].values()) <= {3, 4}
    assert not first.invoke(history).tool_calls
    assert not chat.bind_tools([add], tool_choice="none").invoke(history[:1]).tool_calls
    free = ChatPace(pace=chat.pace, tool_policy="model", max_tokens=60).bind_tools([add])
    assert isinstance(free.invoke(history[:1]), AIMessage)


def test_a_choice_of_no_tool_is_refused(chat: ChatPace) -> None:
    with pytest.raises(ConfigError, match="'subtract' is none of the tools"):
        chat.bind_tools([add], tool_choice="subtract")


def test_calls_and_results_reach_the_model_as_text() -> None:
    call = {"name": "add", "args": {"a": 1}, "id": "1", "type": "tool_call"}
    made = to_messages(
        [
            SystemMessage("Be kind."),
            AIMessage("Well.", tool_calls=[call]),
            ToolMessage("no b", tool_call_id="1", status="error"),
            AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "So."}]),
        ]
    )
    assert [m["role"] for m in made] == ["system", "assistant", "user", "assistant"]
    assert made[1]["content"].startswith("Well.\n<tool_call>\n{")
    assert made[2]["content"] == "<tool_response>\nError: no b\n</tool_response>"
    assert made[3]["content"] == "So."


PDF = base64.b64encode(typeset(*PAGES)).decode()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        },
    ],
)
def test_an_attached_file_reaches_the_model(embedded: Pace, part: dict[str, Any]) -> None:
    message = HumanMessage([part, {"type": "text", "text": QUESTION}])
    (made,) = to_messages([message])
    assert all(page in made["content"] for page in PAGES)
    assert "7:30" in ChatPace(pace=embedded, max_tokens=24).invoke([message]).content


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "file", "url": "https://example.com/a.pdf"}, "must come as base64"),
        ({"type": "file", "base64": "%%%"}, "not valid base64"),
        ({"type": "image", "base64": "aaaa"}, "'image' is not supported"),
    ],
)
def test_what_cannot_be_read_is_refused(part: dict[str, Any], reason: str) -> None:
    with pytest.raises(QuestionError, match=reason):
        to_messages([HumanMessage([part])])


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("streamed", [False, True])
def test_citations_are_annotations_of_the_text(
    embedded: Pace, house: Path, version: str, streamed: bool
) -> None:
    session = embedded.read(Corpus.from_paths(house))
    chat = ChatPace(session=session, max_tokens=24, output_version=version)
    message: Any = chat.invoke(QUESTION)
    if streamed:
        message = AIMessageChunk(content=[] if version == "v1" else "")
        for chunk in chat.stream(QUESTION):
            message = message + chunk
    (block,) = (b for b in message.content_blocks if b["type"] == "text")
    expected = session.ask(QUESTION, generation=SHORT).citations
    assert block["text"] == message.text
    found = block["annotations"]
    assert [a["extras"]["page"] for a in found] == [c.page for c in expected] == [1]
    assert found[0]["extras"]["page_label"] == "1"
    assert found[0]["cited_text"] == expected[0].quote
    if found[0].get("start_index") is not None:
        assert block["text"][found[0]["start_index"] : found[0]["end_index"]] == "[1]"


LONG = "The harbour office opens at nine. " * 20


def test_a_shared_beginning_is_computed_once(chat: ChatPace, pace: Pace) -> None:
    plain = ChatPace(pace=pace, max_tokens=12, held_prompts=0)
    held = ChatPace(pace=pace, max_tokens=12)
    prompts = [f"{LONG}\nWho rings bell {i}?" for i in range(3)]
    answers = [held.invoke(prompt) for prompt in prompts]
    assert [a.content for a in answers] == [plain.invoke(prompt).content for prompt in prompts]
    reads = [a.usage_metadata["input_token_details"]["cache_read"] for a in answers]
    assert reads[0] == 0
    assert min(reads[1:]) > pace.count_tokens(LONG) * 0.9
    for answer in answers:
        details = answer.usage_metadata["input_token_details"]
        assert sum(details.values()) == answer.usage_metadata["input_tokens"]
    uncached = plain.invoke(prompts[0]).usage_metadata["input_token_details"]
    assert uncached == {"cache_read": 0, "cache_creation": 0}


def test_a_marked_beginning_outlives_others(pace: Pace) -> None:
    chat = ChatPace(pace=pace, max_tokens=4, held_prompts=2)
    part = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}

    def ask(question: str) -> int:
        message = chat.invoke([HumanMessage([part, {"type": "text", "text": question}])])
        read: int = message.usage_metadata["input_token_details"]["cache_read"]
        return read

    ask("first")
    for i in range(4):
        chat.invoke(f"{i} other things entirely")
    assert ask("second") > pace.count_tokens(LONG) * 0.9


def test_a_reading_on_first_use_counts_as_created(pace: Pace, house: Path) -> None:
    chat = ChatPace(pace=pace, paths=house, max_tokens=4)
    first, second = (chat.invoke(QUESTION).usage_metadata for _ in range(2))
    assert first["input_token_details"] == {
        "cache_read": 0,
        "cache_creation": first["input_tokens"],
    }
    assert second["input_token_details"]["cache_read"] == second["input_tokens"] - 1


def test_a_saved_session_is_opened_by_its_path(
    house_session: Session, pace: Pace, tmp_path: Path
) -> None:
    house_session.save(tmp_path / "house.pace")
    expected = ChatPace(session=house_session, max_tokens=8).invoke(QUESTION).content
    chat = ChatPace(session=str(tmp_path / "house.pace"), model=pace.name, max_tokens=8)
    assert chat.invoke(QUESTION).content == expected
    assert chat.loaded.fingerprint == pace.fingerprint
    opened = ChatPace(session=tmp_path / "house.pace", pace=pace, max_tokens=8)
    assert opened.invoke(QUESTION).content == expected
    chat.loaded.close()


def test_another_model_cannot_use_what_one_has_read(house_session: Session) -> None:
    chat = ChatPace(session=house_session)
    with pytest.raises(ConfigError, match="another model has read"):
        chat.invoke(QUESTION, model="some/model")


def test_the_environment_names_the_model(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    monkeypatch.setenv("PACE_MODEL", "models/other")
    assert ChatPace().model_name == "models/other"
    assert ChatPace(model="mine").model_name == "mine"
    assert ChatPace(pace=pace).model_name is None


class BrokenModelError(RuntimeError):
    pass


@pytest.mark.parametrize("after", [0, 3])
async def test_an_error_in_the_generation_reaches_the_stream_at_once(
    pace: Pace, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    answer = Engine.decode_answer

    def failing(self: Engine, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for i, piece in enumerate(answer(self, *args, **kwargs)):
            if i == after:
                raise BrokenModelError("the model broke")
            yield piece

    monkeypatch.setattr(Engine, "decode_answer", failing)
    chat = ChatPace(pace=pace, max_tokens=500)
    start = time.monotonic()
    with pytest.raises(BrokenModelError, match="the model broke"):
        list(chat.stream(QUESTION))
    with pytest.raises(BrokenModelError, match="the model broke"):
        _ = [chunk async for chunk in chat.astream(QUESTION)]
    assert time.monotonic() - start < 30  # peers wait for a minute, or for ever
