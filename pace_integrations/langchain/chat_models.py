"""`ChatPace`: a LangChain chat model over a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import model_validator

from pace_integrations import __version__
from pace_integrations.adapters.lazy_session import Binding
from pace_integrations.langchain.base import PaceFields, translated
from pace_integrations.langchain.chat_request import Request, chunk_of, result_of
from pace_integrations.langchain.convert import (
    MessageReader,
)
from pace_integrations.langchain.messages import marks_prefix, to_messages
from pace_integrations.langchain.structured_output import Method, structured
from pace_integrations.langchain.tools import Policy, form_of
from pace_integrations.model.loading import EMBEDDED_NAME
from pace_integrations.session import Pace, Session
from pace_integrations.session.citations import Passage


class ChatPace(PaceFields, BaseChatModel):
    """A chat model that answers from what a session has read.

    The session's documents come first in every prompt and are computed once; system text of the
    conversation joins the first user turn. Without a corpus it is a plain local chat model. What a
    prompt has in common with one of the last ones is not computed again either; parts marked with
    ``cache_control`` are held longest.

    Attributes:
        tool_policy: Who decides whether a tool is called where `tool_choice` leaves it open.
            ``"model"``: the model. ``"first"``: a tool is called first, and once it has answered
            the model writes text; values are taken from what the user wrote. It is for models
            that were never trained to call tools. None takes ``"model"`` where the chat template
            knows tools.

    Example:
        ``prompt | ChatPace(paths=["contracts/"]) | StrOutputParser()``
    """

    tool_policy: Policy | None = None

    @model_validator(mode="after")
    def _set_pace_version(self) -> Self:
        self._add_version("pace-integrations", __version__)
        return self

    @property
    def _llm_type(self) -> str:
        return "pace-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self._identity(), "tool_policy": self.tool_policy}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:  # noqa: ANN401
        settings = self._generation({**kwargs, "stop": stop})
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "pace"
        params["ls_model_name"] = kwargs.get("model") or self.model_name or EMBEDDED_NAME
        params["ls_temperature"] = settings.temperature
        params["ls_max_tokens"] = settings.max_new_tokens
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = ModelProfile(
            text_inputs=True,
            image_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            pdf_inputs=True,
            pdf_tool_message=True,
            text_outputs=True,
            reasoning_output=False,
            tool_calling=True,
            tool_choice=True,
            structured_output=True,
        )
        window = self._window()
        return {**profile, "max_input_tokens": window} if window else profile

    def over(self, session: Session) -> Self:
        """A model with the same settings that answers from another session of its model."""
        sources = {"session", "pace", "model_name", "corpus", "paths", "memory", "quantization"}
        kept = {name: getattr(self, name) for name in self.model_fields_set - sources}
        return type(self)(**kept, session=session)

    @property
    def loaded(self) -> Pace:
        """The loaded model; the first use loads it, and reads what there is to read."""
        return self._binding.pace

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The pages it answers from, under the numbers that answers cite."""
        return self._binding.session.passages

    def get_token_ids(self, text: str) -> list[int]:
        """Ids of a text in the model's own tokenizer."""
        return self._binding.pace.token_ids(text)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A model that may call tools; calls are valid under their schemas whatever the model.

        Args:
            tools: Functions, tools, Pydantic classes or schemas.
            tool_choice: A tool's name, ``"any"`` (or ``"required"``, True) for one of them,
                ``"auto"`` for a free choice (see `tool_policy`) or ``"none"``.
            parallel_tool_calls: Whether there may be several calls in one answer; None allows it
                where the model decides about calls itself.
            strict: Accepted for OpenAI's sake; calls are always valid under their schemas.
            kwargs: Bound as they are.

        Raises:
            ConfigError: `tool_choice` names none of the tools.
        """
        options = {
            "tools": [convert_to_openai_tool(tool) for tool in tools],
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
        }
        form_of(options, [], "model")  # refuses what is wrong here and not at the first call
        return self.bind(**{k: v for k, v in options.items() if v is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, Any]:
        """A model whose answers are objects of a schema, valid whatever the model.

        Args:
            schema: Pydantic class (version 1 or 2), TypedDict, JSON schema or OpenAI function.
            method: ``"json_schema"`` and ``"json_mode"`` ask for JSON, ``"function_calling"`` for
                a call of a tool; all three are held to the schema.
            include_raw: Whether the result is a dict of ``raw`` (the message), ``parsed`` and
                ``parsing_error``.
            strict: Accepted for OpenAI's sake; answers are always valid under the schema.
            kwargs: Bound as they are.

        Raises:
            ConfigError: The method is not known.
        """
        return structured(self, schema, method, include_raw, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translated():
            binding = self._bound(kwargs.get("model"))
            request = self._request(binding, binding.session, messages, {**kwargs, "stop": stop})
            answer = request.asked.ask(
                request.messages, generation=request.generation, timeout=self._patience(kwargs)
            )
            return result_of(request.message(answer))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translated():
            binding = self._bound(kwargs.get("model"))
            session = await binding.asession()
            request = self._request(binding, session, messages, {**kwargs, "stop": stop})
            answer = await request.asked.aask(
                request.messages, generation=request.generation, timeout=self._patience(kwargs)
            )
            return result_of(request.message(answer))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        with translated():
            binding = self._bound(kwargs.get("model"))
            request = self._request(binding, binding.session, messages, {**kwargs, "stop": stop})
            reader = MessageReader(calls=request.form.calls)
            with request.asked.stream(
                request.messages, generation=request.generation, timeout=self._patience(kwargs)
            ) as stream:
                for piece in stream:
                    for chunk in map(chunk_of, reader.push(piece)):
                        if run_manager:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
                yield from map(chunk_of, reader.finish())
                yield chunk_of(request.last(stream.answer, called=reader.called))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        with translated():
            binding = self._bound(kwargs.get("model"))
            session = await binding.asession()
            request = self._request(binding, session, messages, {**kwargs, "stop": stop})
            reader = MessageReader(calls=request.form.calls)
            async with request.asked.astream(
                request.messages, generation=request.generation, timeout=self._patience(kwargs)
            ) as stream:
                async for piece in stream:
                    for chunk in map(chunk_of, reader.push(piece)):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
                for chunk in map(chunk_of, reader.finish()):
                    yield chunk
                yield chunk_of(request.last(stream.answer, called=reader.called))

    def _request(
        self,
        binding: Binding,
        session: Session,
        messages: Sequence[BaseMessage],
        options: Mapping[str, Any],
    ) -> Request:
        form = form_of(options, messages, self._policy(session))
        settings = self._generation(dict(options))
        if form.constraint is not None:
            settings = replace(settings, constraint=form.constraint)
        told, prefixes = form.told(to_messages(messages)), self._prefixes_of(session)
        return Request(
            prefixes.conversation(told),
            told,
            settings,
            form,
            session.pace.name,
            binding.take_fresh(),
            prefixes,
            marks_prefix(messages),
        )

    def _policy(self, session: Session) -> Policy:
        if self.tool_policy is not None:
            return self.tool_policy
        return "model" if session.pace.knows_tools else "first"
