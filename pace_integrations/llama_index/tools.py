"""Function calling: tools into the prompt and the grammar, calls out of the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from pace_integrations.adapters.argument_grounding import grounded
from pace_integrations.adapters.tool_calls import (
    Call,
    CallReader,
    Tool,
    constraint,
    framed,
    instruction,
)
from pace_integrations.answer import Answer
from pace_integrations.config import Constraint
from pace_integrations.errors import QuestionError
from pace_integrations.llama_index.convert import chat_response, cited_text, raw
from pace_integrations.llama_index.steps import Step
from pace_integrations.llama_index.structured import StructuredLLM, selection
from pace_integrations.model.prompts import Message

Policy = Literal["model", "first"]
_RESULTS = (MessageRole.TOOL, MessageRole.FUNCTION)


class ToolCallingLLM(StructuredLLM):
    """What `FunctionAgent`, `predict_and_call` and `FunctionCallingProgram` ask of an LLM.

    A call is held to the tool's schema by constrained decoding: its name exists and its arguments
    are valid, whatever the model.
    """

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            said = ChatMessage(user_msg, role="user") if isinstance(user_msg, str) else user_msg
            messages.append(said)
        return {
            **kwargs,
            "messages": messages,
            "tools": [_described(tool, messages) for tool in tools],
            "tool_choice": tool_choice or ("required" if tool_required else "auto"),
            "parallel_tool_calls": allow_parallel_tool_calls,
        }

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[ToolSelection]:
        """The calls in a response.

        Raises:
            ValueError: There is none and `error_on_no_tool_call` is set.
        """
        calls = [b for b in response.message.blocks if isinstance(b, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError(f"the model called no tool but said {response.message.content!r}")
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "",
                tool_name=call.tool_name,
                tool_kwargs=call.tool_kwargs if isinstance(call.tool_kwargs, dict) else {},
            )
            for call in calls
        ]


@dataclass(frozen=True)
class Toolbox:
    """The tools of one call of the model.

    Attributes:
        tools: Those that the model is told of and may call.
        held: The same as calls are held to them; empty where none may be called any more.
        required: Whether one must be called.
        parallel: Whether several may be.
        turn: Turns before the answer; calls are named by it.
        again: The question, repeated where a tool has answered it: a model that was never trained
            to call tools looks for what to do at the end.
    """

    tools: Sequence[Tool]
    held: Sequence[Tool]
    required: bool
    parallel: bool
    turn: int
    again: str = ""

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], said: Sequence[ChatMessage], policy: Policy
    ) -> Self | None:
        """The toolbox that keyword arguments of a call describe, or None where they give no tool.

        Args:
            settings: What `ToolCallingLLM` made of a call.
            said: The conversation.
            policy: See `PaceLLM`.

        Raises:
            QuestionError: A tool is asked for that is not there.
        """
        tools = [_tool(given) for given in settings.get("tools") or ()]
        choice = settings.get("tool_choice") or "auto"
        if not tools or choice == "none":
            return None
        if isinstance(choice, Mapping):
            choice = choice["function"]["name"]
        parallel = bool(settings.get("parallel_tool_calls"))
        if choice in ("any", "required"):
            return cls(tools, tools, True, parallel, len(said))
        if choice != "auto":
            named = [tool for tool in tools if tool.name == choice]
            if not named:
                raise QuestionError(
                    f"no tool {choice!r}; there are {[tool.name for tool in tools]}"
                )
            tools = named
        if policy == "model":
            return cls(tools, tools, choice != "auto", parallel, len(said))
        asked = _asked(said)
        if choice == "auto" and _answered(said):
            return cls(tools, (), False, False, len(said), asked)
        return cls(tools, grounded(tools, asked), True, False, len(said))

    @property
    def constraint(self) -> Constraint | None:
        """What an answer is held to."""
        if not self.held:
            return None
        return constraint(self.held, required=self.required, parallel=self.parallel)

    def told(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation, with the tools described in front."""
        return framed(messages, instruction(self.tools), self.again)

    def response(self, answer: Answer, delta: str | None = None) -> ChatResponse:
        """An answer whose calls are told from its text."""
        reader = CallReader()
        found = [*reader.push(answer.text), *reader.finish()]
        calls = [part for part in found if isinstance(part, Call) and part.name]
        text = "".join(p if isinstance(p, str) else p.arguments for p in found if p not in calls)
        made = [self._block(i, call) for i, call in enumerate(calls)]
        spoken = [] if made and not text else cited_text(text, answer)
        message = ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=[*spoken, *made],
            additional_kwargs={"tool_calls": [*map(_openai, made)]} if made else {},
        )
        return ChatResponse(message=message, delta=delta, raw=raw(answer))

    def _block(self, number: int, call: Call) -> ToolCallBlock:
        return ToolCallBlock(
            tool_call_id=f"call_{self.turn}_{number}",
            tool_name=str(call.name),
            tool_kwargs=json.loads(call.arguments),
        )


class Shown:
    """Steps of a stream as responses; the text of calls is held back until they are complete.

    Args:
        toolbox: The tools that may be called, or None.
    """

    def __init__(self, toolbox: Toolbox | None) -> None:
        self._toolbox = toolbox
        self._reader = CallReader()
        self._text = ""

    def take(self, step: Step) -> ChatResponse | None:
        """The response of a step, or None where it has nothing to show."""
        if self._toolbox is None:
            return chat_response(*step)
        answer, _, piece = step
        found = self._reader.push(piece) if answer is None else self._reader.finish()
        new = "".join(part for part in found if isinstance(part, str))
        self._text += new
        if answer is not None:
            return self._toolbox.response(answer, new)
        return chat_response(None, self._text, new) if new else None


def _asked(said: Sequence[ChatMessage]) -> str:
    """What the user said last."""
    texts = (m.content for m in reversed(said) if m.role == MessageRole.USER)
    return next(texts, None) or ""


def _answered(said: Sequence[ChatMessage]) -> bool:
    """Whether a tool has answered since the user last spoke."""
    roles = [message.role for message in said]
    last = max((i for i, role in enumerate(roles) if role == MessageRole.USER), default=-1)
    return any(role in _RESULTS for role in roles[last + 1 :])


def _described(tool: BaseTool, messages: Sequence[ChatMessage]) -> dict[str, Any]:
    """A tool as OpenAI's interface describes it; core's selections are held to their choices."""
    made = tool.metadata.to_openai_tool(skip_length_check=True)
    schema = selection(tool.metadata.name or "", "\n".join(m.content or "" for m in messages))
    if schema is not None:
        made["function"]["parameters"] = schema
    return made


def _tool(given: Mapping[str, Any]) -> Tool:
    function = given.get("function", given)
    return Tool(
        function["name"], function.get("description") or "", function.get("parameters") or {}
    )


def _openai(block: ToolCallBlock) -> dict[str, Any]:
    function = {"name": block.tool_name, "arguments": json.dumps(block.tool_kwargs)}
    return {"id": block.tool_call_id, "type": "function", "function": function}
