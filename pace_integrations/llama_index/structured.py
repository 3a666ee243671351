"""Answers that are valid by construction: Pydantic objects, and what core's parsers expect."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.output_parsers.selection import SelectionOutputParser
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.question_gen.output_parser import SubQuestionOutputParser
from llama_index.core.types import Model
from pydantic import ValidationError
from pydantic_core import from_json

from pace_integrations.config import Constraint
from pace_integrations.llama_index.events import dispatch_within, dispatcher

_TEXT = {"type": "string", "maxLength": 200}
_REASON = {"type": "string", "maxLength": 80}  # told to people, if at all
_CHOICES = re.compile(r"list \(1 to (\d+)\)")


class StructuredLLM(FunctionCallingLLM):
    """The `structured_predict` family by constrained decoding.

    No program and no parser is needed: what the model writes is JSON of the class's schema. What
    validators of the class refuse beyond that raises their ``ValidationError``.
    """

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> Model:
        """Answers a prompt with an object.

        Args:
            output_cls: Its class.
            prompt: What to ask.
            llm_kwargs: Settings of this call.
            **prompt_args: Values of the prompt's variables.
        """
        _dispatch_start(output_cls, prompt, prompt_args)
        messages = self._fill_prompt(prompt, prompt_args)
        said = self.chat(messages, **_hold_to(output_cls, llm_kwargs))
        return _dispatch_end(_parse_object(output_cls, said))

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> Model:
        """`structured_predict` without blocking the event loop."""
        _dispatch_start(output_cls, prompt, prompt_args)
        messages = self._fill_prompt(prompt, prompt_args)
        said = await self.achat(messages, **_hold_to(output_cls, llm_kwargs))
        return _dispatch_end(_parse_object(output_cls, said))

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> Generator[Model | FlexibleModel, None, None]:
        """`structured_predict`, with every state of the object on the way."""
        _dispatch_start(output_cls, prompt, prompt_args)
        messages = self._fill_prompt(prompt, prompt_args)
        stream = self.stream_chat(messages, **_hold_to(output_cls, llm_kwargs))
        growing = _GrowingObject(output_cls)

        def objects() -> Generator[Model | FlexibleModel, None, None]:
            said = None
            with closing(stream):
                for said in stream:
                    if (partial := growing.take_response(said)) is not None:
                        yield partial
            if said is not None:
                yield _dispatch_end(_parse_object(output_cls, said), growing.span)

        return objects()

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,  # noqa: ANN401
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        """`stream_structured_predict` without blocking the event loop."""
        _dispatch_start(output_cls, prompt, prompt_args)
        messages = self._fill_prompt(prompt, prompt_args)
        stream = await self.astream_chat(messages, **_hold_to(output_cls, llm_kwargs))
        growing = _GrowingObject(output_cls)

        async def objects() -> AsyncGenerator[Model | FlexibleModel, None]:
            said = None
            async with aclosing(stream):
                async for said in stream:
                    if (partial := growing.take_response(said)) is not None:
                        yield partial
            if said is not None:
                yield _dispatch_end(_parse_object(output_cls, said), growing.span)

        return objects()

    def _fill_prompt(self, prompt: BasePromptTemplate, values: dict[str, Any]) -> list[ChatMessage]:
        return list(self._extend_messages(prompt.format_messages(llm=self, **values)))


def _dispatch_start(
    output_cls: type[Model], prompt: PromptTemplate, values: dict[str, Any]
) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=values)
    )


def _dispatch_end(made: Model, span: str | None = None) -> Model:
    dispatch_within(span, LLMStructuredPredictEndEvent(output=made))
    return made


def _hold_to(output_cls: type[BaseModel], settings: dict[str, Any] | None) -> dict[str, Any]:
    """Return settings of a call whose answer is held to a class's schema."""
    wanted = {"name": output_cls.__name__, "schema": output_cls.model_json_schema()}
    form = {"type": "json_schema", "json_schema": wanted}
    return {**(settings or {}), "response_format": form}


def _parse_object(output_cls: type[Model], said: ChatResponse) -> Model:
    return output_cls.model_validate_json(said.message.content or "")


class _GrowingObject:
    """An object as far as it can be told from the JSON written so far.

    Attributes:
        span: Where the stream was asked for; its events belong there wherever it is consumed.
    """

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self.span = active_span_id.get()
        self._partial = create_flexible_model(output_cls)
        self._last: Any = {}

    def take_response(self, said: ChatResponse) -> FlexibleModel | None:
        """Return the object after a piece, or None where nothing new can be told."""
        try:
            values = from_json(said.message.content or "", allow_partial=True)
            made = self._partial.model_validate(values)
        except (ValueError, ValidationError):
            return None
        if values == self._last:
            return None
        self._last = values
        dispatch_within(self.span, LLMStructuredPredictInProgressEvent(output=made))
        return made


def find_expected_format(
    prompt: BasePromptTemplate, values: Mapping[str, Any]
) -> Constraint | None:
    """Return what the parser of a prompt can read, or None where it takes any text.

    Args:
        prompt: A prompt; core's selectors, question generators and programs put their parser on it.
        values: Values of the prompt's variables.
    """
    parser = prompt.output_parser
    if isinstance(parser, PydanticOutputParser):
        return Constraint.json_schema(parser.output_cls.model_json_schema())
    if isinstance(parser, SelectionOutputParser):
        return Constraint.json_schema(_selection_schema(values))
    if isinstance(parser, SubQuestionOutputParser):
        return Constraint.json_schema(_sub_question_schema(values))
    return None


def _selection_schema(values: Mapping[str, Any]) -> dict[str, Any]:
    choices = list(range(1, int(values.get("num_choices", 1)) + 1))
    most = int(values.get("max_outputs", 1))
    one = _object_schema({"choice": {"enum": choices}, "reason": _REASON})
    return {"type": "array", "items": one, "minItems": 1, "maxItems": most}


def find_selection_schema(name: str, prompt: str) -> dict[str, Any] | None:
    """Return the schema of a choice by a Pydantic selector of core's, or None for another tool.

    Their classes do not say how many choices there are, and a number beyond them is an
    ``IndexError`` in the router; their prompts do say it.

    Args:
        name: The tool: the class of what is to be made.
        prompt: What is asked.
    """
    found = _CHOICES.search(prompt)
    if found is None or name not in ("SingleSelection", "MultiSelection"):
        return None
    most = int(found[1])
    index = {"type": "integer", "minimum": 1, "maximum": most}
    one = _object_schema({"index": index, "reason": _REASON})
    if name == "SingleSelection":
        return one
    return _object_schema(
        {"selections": {"type": "array", "items": one, "minItems": 1, "maxItems": most}}
    )


def _sub_question_schema(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        tools: Sequence[str] = list(json.loads(str(values.get("tools_str"))))
    except ValueError:
        tools = ()
    name = {"enum": tools} if tools else _TEXT
    one = _object_schema({"sub_question": _TEXT, "tool_name": name})
    return _object_schema({"items": {"type": "array", "items": one, "minItems": 1, "maxItems": 8}})


def _object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
