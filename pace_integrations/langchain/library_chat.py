"""`ChatPaceLibrary`: a LangChain chat model that answers from the pages of a library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from pace_integrations.adapters.call_settings import read_call_settings
from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig
from pace_integrations.langchain.convert import make_message, make_metadata, make_usage
from pace_integrations.langchain.errors import translate_errors
from pace_integrations.langchain.messages import to_messages

if TYPE_CHECKING:
    from pace_integrations.library import Library
else:  # so that the field can be declared without PyTorch
    Library = Any


class ChatPaceLibrary(BaseChatModel):
    """A chat model that answers each question from the pages of a library that fit it best.

    The last message is what pages are chosen for; the model sees the messages before it too. The
    metadata of an answer has its ``citations``, ``evidence``, ``support`` and ``selection``.

    Attributes:
        library: The library.
        generation: How answers are written.
        timeout: Seconds that an answer may take.
        options: Further options of `Library.ask`, such as ``strategy`` or ``on_unsupported``.

    Example:
        ``prompt | ChatPaceLibrary(library=pace.library("~/papers")) | StrOutputParser()``
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    library: Library
    generation: GenerationConfig = Field(default_factory=GenerationConfig)
    timeout: float | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "pace-library"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # What a cache of answers goes by: another model or other pages answer otherwise.
        corpus = self.library.corpus
        return {
            **self.library.pace.fingerprint,
            "corpus": corpus.fingerprint if corpus else None,
            "generation": repr(self.generation),
            "options": repr(sorted(self.options.items())),
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translate_errors():
            answer = self.library.ask(to_messages(messages), **self._ask_options(stop, kwargs))
        return self._make_result(answer)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translate_errors():
            options = self._ask_options(stop, kwargs)
            async with await self.library.start_stream(to_messages(messages), **options) as stream:
                return self._make_result(await stream.drain())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        options = self._ask_options(stop, kwargs)
        with translate_errors(), self.library.stream(to_messages(messages), **options) as stream:
            for piece in stream:
                chunk = _make_chunk(piece)
                if run_manager:
                    run_manager.on_llm_new_token(piece, chunk=chunk)
                yield chunk
            yield self._make_last_chunk(stream.answer)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        with translate_errors():
            options = self._ask_options(stop, kwargs)
            async with await self.library.start_stream(to_messages(messages), **options) as stream:
                async for piece in stream:
                    chunk = _make_chunk(piece)
                    if run_manager:
                        await run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk
                yield self._make_last_chunk(stream.answer)

    def _ask_options(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        settings = read_call_settings(
            self.generation, self.timeout, {**given, "stop": stop}, type(self).__name__
        )
        told = {"generation": settings.generation, "timeout": settings.timeout}
        return {**self.options, **told}

    def _make_result(self, answer: Answer) -> ChatResult:
        name, usage = self.library.pace.name, make_usage(answer.usage)
        message = make_message(answer, name, usage, calls=False)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _make_last_chunk(self, answer: Answer) -> ChatGenerationChunk:
        """Return the chunk that ends a stream; it alone carries what is said once."""
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                chunk_position="last",
                usage_metadata=make_usage(answer.usage),
                response_metadata=make_metadata(answer, self.library.pace.name),
            )
        )


def _make_chunk(piece: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=piece))
