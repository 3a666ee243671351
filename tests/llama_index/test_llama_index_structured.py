"""Tools and objects: valid by construction from random weights, in every form."""

from __future__ import annotations

import json
from enum import Enum
from itertools import pairwise
from typing import Any

import pytest
from house import QUESTION
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_support import listening, no_default_model, user
from pydantic import BaseModel, Field, ValidationError, field_validator

from pace_integrations import Constraint, Pace, Session
from pace_integrations.adapters.tool_calls import Call, CallReader, write_result
from pace_integrations.errors import ConfigError, QuestionError
from pace_integrations.llama_index import PaceLLM
from pace_integrations.llama_index.convert import to_messages

PROMPT = PromptTemplate("Describe {thing}.")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Gate(BaseModel):
    """A gate."""

    colour: Colour
    height: int = Field(ge=1, le=9)
    marks: list[bool] = Field(max_length=3)


GATE = Constraint.json_schema(Gate.model_json_schema())


@pytest.fixture(autouse=True)
def _no_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    no_default_model(monkeypatch)


@pytest.fixture
def llm(pace: Pace) -> PaceLLM:
    return PaceLLM(session=pace.blank(), max_new_tokens=96)


def test_objects_are_made_of_what_was_read(house_session: Session) -> None:
    llm = PaceLLM(session=house_session, max_new_tokens=96)
    assert isinstance(llm.structured_predict(Gate, PROMPT, thing="the gate"), Gate)
    calls = llm.chat_with_tools(TOOLS, QUESTION, tool_required=True)
    assert calls.raw["usage"]["prompt_tokens_details"]["cached_tokens"] >= house_session.tokens


async def test_a_structured_llm_makes_the_same_objects(llm: PaceLLM) -> None:
    made = [
        llm.structured_predict(Gate, PROMPT, thing="the gate"),
        llm.as_structured_llm(Gate).chat(user("Describe the gate.")).raw,
        (await llm.as_structured_llm(Gate).acomplete("Describe the gate.")).raw,
    ]
    assert all(isinstance(gate, Gate) for gate in made)
    assert made == [made[0]] * 3


def test_a_streamed_object_grows(llm: PaceLLM) -> None:
    states = [
        s.model_dump(mode="json", exclude_none=True)
        for s in llm.stream_structured_predict(Gate, PROMPT, thing="the gate")
    ]
    assert len(states) > 2
    names = [list(state) for state in states]
    assert all(len(a) <= len(b) for a, b in pairwise(names))
    assert names[-1] == ["colour", "height", "marks"]


def test_structured_predictions_emit_their_events(llm: PaceLLM) -> None:
    with listening() as events:
        llm.structured_predict(Gate, PROMPT, thing="the gate")
    names = [event.class_name() for event in events]
    assert names.count("LLMStructuredPredictStartEvent") == 1
    assert names.count("LLMStructuredPredictEndEvent") == 1
    assert "LLMChatEndEvent" in names


def test_what_validators_refuse_is_said(llm: PaceLLM) -> None:
    class Never(BaseModel):
        name: Colour

        @field_validator("name")
        @classmethod
        def _no(cls, value: Colour) -> Colour:
            raise ValueError("no name will do")

    with pytest.raises(ValidationError, match="no name will do"):
        llm.structured_predict(Never, PROMPT, thing="it")
    with pytest.raises(ConfigError, match="max_new_tokens"):
        llm.structured_predict(Gate, PROMPT, llm_kwargs={"max_tokens": 2}, thing="it")


def test_programs_work(llm: PaceLLM) -> None:
    called = FunctionCallingProgram.from_defaults(Gate, prompt=PROMPT, llm=llm)(thing="the gate")
    assert isinstance(called, Gate)
    parsed = LLMTextCompletionProgram.from_defaults(
        output_parser=PydanticOutputParser(Gate), prompt=PROMPT, llm=llm
    )
    assert isinstance(parsed(llm_kwargs={"constraint": GATE}, thing="the gate"), Gate)


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


class Paint(BaseModel):
    colour: Colour


def paint(colour: str) -> str:
    """Paints the gate."""
    return f"painted {Colour(colour)}"


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(paint, fn_schema=Paint)]


def calls_of(response: Any) -> list[tuple[str, str, dict[str, Any]]]:
    return [(b.tool_call_id, b.tool_name, b.tool_kwargs) for b in response.message.blocks]


async def test_required_calls_are_valid_and_agree_in_every_form(llm: PaceLLM) -> None:
    options = {"allow_parallel_tool_calls": True, "tool_required": True}
    streamed = list(llm.stream_chat_with_tools(TOOLS, QUESTION, **options))
    astreamed = [r async for r in await llm.astream_chat_with_tools(TOOLS, QUESTION, **options)]
    responses = [
        llm.chat_with_tools(TOOLS, QUESTION, **options),
        await llm.achat_with_tools(TOOLS, QUESTION, **options),
        streamed[-1],
        astreamed[-1],
    ]
    made = [calls_of(response) for response in responses]
    assert made == [made[0]] * 4
    assert len({call[0] for call in made[0]}) == len(made[0]) >= 1
    for call in llm.get_tool_calls_from_response(responses[0]):
        assert str({"add": add, "paint": paint}[call.tool_name](**call.tool_kwargs))
    assert "".join(r.delta or "" for r in streamed).strip() == ""
    assert streamed[-1].raw["usage"]["completion_tokens"] > 0


def test_a_named_tool_is_the_one_that_is_called(llm: PaceLLM) -> None:
    for choice in ("paint", {"type": "function", "function": {"name": "paint"}}):
        response = llm.chat_with_tools(TOOLS, QUESTION, tool_choice=choice)
        assert [call[1] for call in calls_of(response)] == ["paint"]
        # The tools themselves, given to what is called without them too.
        plain = llm.chat(user(QUESTION), tools=TOOLS, tool_choice=choice)
        assert calls_of(plain) == calls_of(response)
    with pytest.raises(QuestionError, match="no tool 'sing'"):
        llm.chat_with_tools(TOOLS, QUESTION, tool_choice="sing")


async def test_without_need_the_model_may_answer(llm: PaceLLM) -> None:
    llm = llm.model_copy(update={"tool_policy": "model"})
    whole = llm.chat_with_tools(TOOLS, QUESTION, max_tokens=48)
    streamed = list(llm.stream_chat_with_tools(TOOLS, QUESTION, max_tokens=48))
    assert calls_or_text(whole) == calls_or_text(streamed[-1])
    assert "".join(r.delta or "" for r in streamed) == (whole.message.content or "")
    plain = llm.chat_with_tools(TOOLS, QUESTION, tool_choice="none", max_tokens=8)
    assert plain.message.content == llm.chat(user(QUESTION), max_tokens=8).message.content


def calls_or_text(response: Any) -> Any:
    blocks = response.message.blocks
    return [b.model_dump() for b in blocks]


async def test_a_model_that_knows_no_tools_calls_first_and_answers_then(llm: PaceLLM) -> None:
    tool = FunctionTool.from_defaults(lambda question, count: None, name="find", fn_schema=Find)
    said = "Look for 3 gates. When do they open?"
    first = llm.chat_with_tools([tool], said, allow_parallel_tool_calls=True)
    ((_, name, given),) = calls_of(first)
    assert name == "find"
    assert given["count"] == 3
    assert given["question"] in said
    assert given["question"].endswith((".", "?"))
    history = [*user(said), first.message, ChatMessage("At 7:30.", role="tool")]
    answered = llm.chat_with_tools([tool], chat_history=history, max_tokens=8)
    # In plain words, and asked again: without the marks that only a trained model knows.
    free = llm.model_copy(update={"tool_policy": "model"})
    marked = free.chat_with_tools([tool], chat_history=history)
    lengths = [one.raw["usage"]["prompt_tokens"] for one in (answered, marked)]
    assert lengths[0] < lengths[1] - 100
    texts = [
        answered.message,
        (await llm.achat_with_tools([tool], chat_history=history, max_tokens=8)).message,
        list(llm.stream_chat_with_tools([tool], chat_history=history, max_tokens=8))[-1].message,
    ]
    assert texts == [texts[0]] * 3
    assert all(isinstance(block, TextBlock) for block in texts[0].blocks)
    again = llm.chat_with_tools([tool], "And 5 doors?", history)
    assert [call[2]["count"] for call in calls_of(again)] == [5]


class Find(BaseModel):
    question: str
    count: int


def test_a_response_without_a_call_is_an_error_only_where_asked(llm: PaceLLM) -> None:
    response = llm.chat(user(QUESTION), max_tokens=4)
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="called no tool"):
        llm.get_tool_calls_from_response(response)


async def test_tools_are_called(llm: PaceLLM) -> None:
    said = llm.predict_and_call([TOOLS[0]], QUESTION, tool_required=True)
    later = await llm.apredict_and_call([TOOLS[0]], QUESTION, tool_required=True)
    assert said.response == later.response == str(said.sources[0].raw_output)


def test_a_history_of_calls_is_read() -> None:
    def history(given: Any) -> list[ChatMessage]:
        call = ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs=given)
        return [
            *user("What is 1 + 2?"),
            ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="So:"), call]),
            ChatMessage(role=MessageRole.TOOL, content="3"),
        ]

    said = to_messages(history({"a": 1, "b": 2}))
    assert said == to_messages(history(json.dumps({"a": 1, "b": 2})))
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    assert said[1]["content"].startswith("So:")
    (call,) = CallReader().push(said[1]["content"])[1:]
    assert call == Call("add", json.dumps({"a": 1, "b": 2}))
    assert said[2]["content"] == write_result("3")


def test_a_parser_on_a_prompt_gets_what_it_can_read(llm: PaceLLM) -> None:
    prompt = PromptTemplate("Describe {thing}.", output_parser=PydanticOutputParser(Gate))
    assert Gate.model_validate_json(llm.predict(prompt, thing="the gate"))
