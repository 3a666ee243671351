"""One contract: every ability together with every other, through both integrations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import reduce
from operator import add as plus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from house import QUESTION
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_support import citing

import pace_integrations
from pace_integrations import Session
from pace_integrations.adapters.expected_calls import expect_calls
from pace_integrations.errors import DeadlineExceededError
from pace_integrations.langchain import ChatPace
from pace_integrations.llama_index import PaceLLM

ASKED = "Double 3."
SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["sum"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}


def dbl(n: int) -> int:
    """Double a number."""
    return 2 * n


@dataclass(frozen=True)
class Form:
    """What is asked of an answer, and what it must then be: text, a call, or JSON."""

    expected: str
    tools: bool = False
    choice: Any = None
    schema: bool = False
    answered: bool = False


CHOICES: dict[str, Any] = {
    "any": "any",
    "required": "required",
    "a name": "dbl",
    "OpenAI's object": {"type": "function", "function": {"name": "dbl"}},
    "Anthropic's object": {"type": "tool", "name": "dbl"},
    "Anthropic's any": {"type": "any"},
    "allowed tools": {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "dbl"}],
    },
}
FORMS = {
    "text": Form("text"),
    "a schema": Form("json", schema=True),
    "tools": Form("call", tools=True),
    "tools, choice auto": Form("call", tools=True, choice="auto"),
    "tools, choice none": Form("text", tools=True, choice="none"),
    "tools, Anthropic's none": Form("text", tools=True, choice={"type": "none"}),
    **{f"tools, choice {n}": Form("call", tools=True, choice=c) for n, c in CHOICES.items()},
    "tools and a schema": Form("call", tools=True, schema=True),
    "tools, choice any and a schema": Form("call", tools=True, choice="any", schema=True),
    "tools that have answered": Form("text", tools=True, answered=True),
    "tools that have answered and a schema": Form("json", tools=True, schema=True, answered=True),
    "choice any, answered, and a schema": Form(
        "json", tools=True, choice="any", schema=True, answered=True
    ),
}
SHORT = {"text": 6, "call": 72, "json": 16}


@dataclass(frozen=True)
class Outcome:
    """What came of a call, in the words of neither framework."""

    text: str
    calls: tuple[tuple[str, str], ...]
    citations: tuple[int, ...]
    cached: int
    prompt: int

    def content(self) -> tuple[Any, ...]:
        """All that does not depend on what was asked before."""
        return self.text, self.calls, self.citations, self.prompt


Run = Callable[[dict[str, Any]], Awaitable[Outcome]]


class LangChain:
    def __init__(self, session: Session, form: Form, asked: str, **settings: Any) -> None:
        model = ChatPace(session=session, **settings)
        options = {"response_format": FORMAT} if form.schema else {}
        self.model: Any = model.bind(**options) if options else model
        if form.tools:
            self.model = model.bind_tools([tool(dbl)], tool_choice=form.choice, **options)
        self.messages = self.history(asked, form.answered)

    def history(self, asked: str, answered: bool) -> list[BaseMessage]:
        made = [SystemMessage("Be brief."), HumanMessage("Hello"), AIMessage("Hello.")]
        made.append(HumanMessage(asked))
        if answered:
            call = {"name": "dbl", "args": {"n": 3}, "id": "1", "type": "tool_call"}
            made += [AIMessage("", tool_calls=[call]), ToolMessage("6", tool_call_id="1")]
        return made

    def made(self, message: Any) -> Outcome:
        calls = tuple((c["name"], json.dumps(c["args"])) for c in message.tool_calls)
        cited = tuple(c["passage"] for c in message.response_metadata["citations"])
        usage = message.usage_metadata
        cached = usage["input_token_details"]["cache_read"]
        return Outcome(message.text, calls, cited, cached, usage["input_tokens"])

    async def whole(self, options: dict[str, Any]) -> Outcome:
        return self.made(self.model.invoke(self.messages, **options))

    async def streamed(self, options: dict[str, Any]) -> Outcome:
        return self.made(reduce(plus, self.model.stream(self.messages, **options)))

    async def awaited(self, options: dict[str, Any]) -> Outcome:
        return self.made(await self.model.ainvoke(self.messages, **options))

    async def awaited_stream(self, options: dict[str, Any]) -> Outcome:
        chunks = [chunk async for chunk in self.model.astream(self.messages, **options)]
        return self.made(reduce(plus, chunks))

    async def batched(self, options: dict[str, Any]) -> Outcome:
        made = [self.made(m) for m in self.model.batch([self.messages] * 2, **options)]
        assert len({one.content() for one in made}) == 1
        return made[0]

    async def awaited_batch(self, options: dict[str, Any]) -> Outcome:
        made = [self.made(m) for m in await self.model.abatch([self.messages] * 2, **options)]
        assert len({one.content() for one in made}) == 1
        return made[0]


class LlamaIndex:
    def __init__(self, session: Session, form: Form, asked: str, **settings: Any) -> None:
        self.llm = PaceLLM(session=session, **settings)
        self.options = {"response_format": FORMAT} if form.schema else {}
        self.tools = [FunctionTool.from_defaults(dbl)] if form.tools else None
        self.choice = form.choice
        self.messages = self.history(asked, form.answered)

    def history(self, asked: str, answered: bool) -> list[ChatMessage]:
        turns = [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hello.")]
        made = [ChatMessage(text, role=role) for role, text in (*turns, ("user", asked))]
        if answered:
            call = ToolCallBlock(tool_call_id="1", tool_name="dbl", tool_kwargs={"n": 3})
            made.append(ChatMessage(role="assistant", blocks=[call]))
            named = {"tool_call_id": "1", "name": "dbl"}
            made.append(ChatMessage("6", role="tool", additional_kwargs=named))
        return made

    def made(self, response: Any) -> Outcome:
        blocks = [b for b in response.message.blocks if isinstance(b, ToolCallBlock)]
        calls = tuple((b.tool_name, json.dumps(b.tool_kwargs)) for b in blocks)
        cited, usage = response.raw["citations"], response.raw["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        text = response.message.content or ""
        passages = tuple(c["passage"] for c in cited)
        return Outcome(text, calls, passages, cached, usage["prompt_tokens"])

    def ask(self, kind: str, options: dict[str, Any]) -> Any:
        given = {**self.options, **options}
        if self.tools is None:
            return getattr(self.llm, kind)(self.messages, **given)
        given |= {"chat_history": self.messages, "tool_choice": self.choice}
        return getattr(self.llm, f"{kind}_with_tools")(self.tools, **given)

    async def whole(self, options: dict[str, Any]) -> Outcome:
        return self.made(self.ask("chat", options))

    async def streamed(self, options: dict[str, Any]) -> Outcome:
        return self.made(list(self.ask("stream_chat", options))[-1])

    async def awaited(self, options: dict[str, Any]) -> Outcome:
        return self.made(await self.ask("achat", options))

    async def awaited_stream(self, options: dict[str, Any]) -> Outcome:
        return self.made([r async for r in await self.ask("astream_chat", options)][-1])

    async def batched(self, options: dict[str, Any]) -> Outcome:
        """LlamaIndex has no batch but calls that wait at the same time."""
        made = await asyncio.gather(*(self.awaited(options) for _ in range(2)))
        assert len({one.content() for one in made}) == 1
        return made[0]

    async def awaited_batch(self, options: dict[str, Any]) -> Outcome:
        with expect_calls(2):
            return await self.batched(options)


FACES: dict[str, Any] = {"langchain": LangChain, "llama_index": LlamaIndex}
MODES = ["whole", "streamed", "awaited", "awaited_stream", "batched", "awaited_batch"]


def test_every_integration_is_a_face_of_the_table() -> None:
    home = Path(pace_integrations.__file__).parent
    importing = {
        path.relative_to(home).parts[0]
        for path in home.rglob("*.py")
        if "pace_integrations.adapters.chat_request import" in path.read_text(encoding="utf-8")
    }
    importing -= {"adapters", "server"}  # the server's table is that of its recorded bodies
    assert importing == set(FACES), "a package that makes chat calls has its row in FACES"


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


@pytest.mark.parametrize("name", FORMS)
async def test_every_form_is_kept_in_every_mode(
    face: Any, name: str, house_session: Session
) -> None:
    form = FORMS[name]
    made = face(house_session, form, ASKED, max_tokens=SHORT[form.expected])
    # All spellings of a required call are one form by the time a batch is made.
    modes = MODES if isinstance(form.choice, str | None) else MODES[:4]
    outcomes = [await getattr(made, mode)({}) for mode in modes]
    check(form, outcomes[0])
    for mode, outcome in zip(modes, outcomes, strict=True):
        assert outcome.content() == outcomes[0].content(), mode
    # What was read is never computed again, and the second time nothing but the last token is.
    assert outcomes[0].cached >= house_session.tokens
    assert outcomes[1].cached == outcomes[1].prompt - 1


def check(form: Form, outcome: Outcome) -> None:
    assert bool(outcome.calls) is (form.expected == "call")
    if form.expected == "call":
        ((name, arguments),) = outcome.calls
        assert name == "dbl"
        # A model that knows no tools takes its numbers from the user's words.
        assert set(json.loads(arguments).values()) == {3}
    elif form.expected == "json":
        jsonschema.validate(json.loads(outcome.text), SCHEMA)
    else:
        assert outcome.text


@pytest.mark.parametrize("name", ["text", "a schema", "tools", "tools and a schema"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_deadline_ends_every_form_in_every_mode(
    face: Any, name: str, mode: str, house_session: Session
) -> None:
    made = face(house_session, FORMS[name], ASKED, max_tokens=72)
    with pytest.raises(DeadlineExceededError):
        await getattr(made, mode)({"timeout": 1e-6})
    bound = face(house_session, FORMS[name], ASKED, max_tokens=72, timeout=1e-6)
    with pytest.raises(DeadlineExceededError):
        await getattr(bound, mode)({})


async def test_stop_strings_and_lengths_cut_every_mode_alike(
    face: Any, house_session: Session
) -> None:
    made = face(house_session, FORMS["text"], QUESTION, max_tokens=12)
    whole = (await made.whole({})).text
    stop = whole[4:6]
    for mode in MODES:
        run: Run = getattr(made, mode)
        assert (await run({"stop": [stop]})).text == whole[: whole.index(stop)], mode
        assert whole.startswith((await run({"max_tokens": 4})).text), mode
        assert (await run({"max_completion_tokens": None, "stop": None})).text == whole, mode


@pytest.mark.parametrize("name", ["text", "tools that have answered"])
async def test_citations_come_with_every_mode(
    face: Any, name: str, house_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    citing(monkeypatch, "7:30 [1], Mondays [2]")
    made = face(house_session, FORMS[name], QUESTION, max_tokens=6)
    for mode in MODES[:4]:
        assert (await getattr(made, mode)({})).citations == (1, 2), mode


async def test_a_conversation_goes_on_from_what_is_cached(
    face: Any, house_session: Session
) -> None:
    made = face(house_session, FORMS["tools"], ASKED, max_tokens=SHORT["call"])
    first = await made.whole({})
    later = face(house_session, FORMS["tools that have answered"], ASKED, max_tokens=6)
    later.__dict__.update({k: v for k, v in made.__dict__.items() if k != "messages"})
    second = await later.whole({"max_tokens": 6})
    assert second.prompt > first.prompt
    assert second.cached >= 0.9 * first.prompt


@pytest.mark.parametrize("wrong", ["subtract", 5, {"type": "maybe"}])
async def test_a_choice_of_nothing_is_refused(
    face: Any, wrong: Any, house_session: Session
) -> None:
    with pytest.raises(ValueError, match="tool_choice"):
        await face(house_session, Form("call", tools=True, choice=wrong), ASKED).whole({})
