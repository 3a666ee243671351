"""`ChatPace`: a LangChain chat model over a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import model_validator

from pace_integrations import __version__
from pace_integrations.answer import Answer
from pace_integrations.langchain.fields import PaceFields, translated
from pace_integrations.langchain.messages import response_metadata, to_messages, usage_metadata


class ChatPace(PaceFields, BaseChatModel):
    """A chat model that answers from what a session has read.

    The session's documents come first in every prompt and are computed once; system text of the
    conversation joins the first user turn. Without a corpus it is a plain local chat model.

    Example:
        ``prompt | ChatPace(paths=["contracts/"]) | StrOutputParser()``
    """

    @model_validator(mode="after")
    def _set_pace_version(self) -> Self:
        self._add_version("pace-integrations", __version__)
        return self

    @property
    def _llm_type(self) -> str:
        return "pace-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:  # noqa: ANN401
        settings = self._generation({**kwargs, "stop": stop})
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "pace"
        params["ls_model_name"] = kwargs.get("model") or self.model_name or "pace-nano"
        params["ls_temperature"] = settings.temperature
        params["ls_max_tokens"] = settings.max_new_tokens
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Ids of a text in the model's own tokenizer."""
        return self._binding.pace.token_ids(text)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translated():
            session, settings = self._binding.session, self._generation({**kwargs, "stop": stop})
            return self._result(session.ask(to_messages(messages), generation=settings))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translated():
            session = await self._binding.asession()
            settings = self._generation({**kwargs, "stop": stop})
            return self._result(await session.aask(to_messages(messages), generation=settings))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        with translated():
            session, settings = self._binding.session, self._generation({**kwargs, "stop": stop})
            with session.stream(to_messages(messages), generation=settings) as stream:
                for piece in stream:
                    chunk = _chunk(piece)
                    if run_manager:
                        run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk
                yield self._last(stream.answer)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        with translated():
            session = await self._binding.asession()
            settings = self._generation({**kwargs, "stop": stop})
            async with session.astream(to_messages(messages), generation=settings) as stream:
                async for piece in stream:
                    chunk = _chunk(piece)
                    if run_manager:
                        await run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk
                yield self._last(stream.answer)

    def _result(self, answer: Answer) -> ChatResult:
        message = AIMessage(
            content=answer.text,
            usage_metadata=usage_metadata(answer.usage),
            response_metadata=response_metadata(answer, self._binding.pace.name),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _last(self, answer: Answer) -> ChatGenerationChunk:
        """The chunk that ends a stream; it alone carries what is said once."""
        message = AIMessageChunk(
            content="",
            chunk_position="last",
            usage_metadata=usage_metadata(answer.usage),
            response_metadata=response_metadata(answer, self._binding.pace.name),
        )
        return ChatGenerationChunk(message=message)


def _chunk(piece: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=piece))
