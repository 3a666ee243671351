"""`PaceLLM`: a LangChain completion model over a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LLM
from langchain_core.outputs import GenerationChunk

from pace_integrations.langchain.base import PaceFields, translated


class PaceLLM(PaceFields, LLM):
    """A completion model: the prompt is asked as a question of what the session has read."""

    @property
    def _llm_type(self) -> str:
        return "pace"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity()

    def get_token_ids(self, text: str) -> list[int]:
        """Ids of a text in the model's own tokenizer."""
        return self._binding.pace.token_ids(text)

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> str:
        with translated():
            settings = self._generation({**kwargs, "stop": stop})
            return self._binding.session.ask(prompt, generation=settings).text

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> str:
        with translated():
            session = await self._binding.asession()
            settings = self._generation({**kwargs, "stop": stop})
            return (await session.aask(prompt, generation=settings)).text

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[GenerationChunk]:
        with translated():
            session, settings = self._binding.session, self._generation({**kwargs, "stop": stop})
            with session.stream(prompt, generation=settings) as stream:
                for piece in stream:
                    chunk = GenerationChunk(text=piece)
                    if run_manager:
                        run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[GenerationChunk]:
        with translated():
            session = await self._binding.asession()
            settings = self._generation({**kwargs, "stop": stop})
            async with session.astream(prompt, generation=settings) as stream:
                async for piece in stream:
                    chunk = GenerationChunk(text=piece)
                    if run_manager:
                        await run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk
