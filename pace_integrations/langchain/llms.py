"""`PaceLLM`: a LangChain completion model over a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM, LangSmithParams
from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from pace_integrations.adapters.answer_format import History
from pace_integrations.adapters.batching import answer_together
from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.adapters.expected_calls import expect_calls
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.answer import Answer
from pace_integrations.langchain.base import LangChainFields
from pace_integrations.langchain.chat_request import count_tokens
from pace_integrations.langchain.convert import make_metadata
from pace_integrations.langchain.errors import translate_errors
from pace_integrations.langchain.tools import convert_options


class PaceLLM(LangChainFields, BaseLLM):
    """A completion model: the prompt is asked as a question of what the session has read.

    Usage, finish reason and citations are in the ``generation_info`` of a generation, and in that
    of the last chunk of a stream.
    """

    @property
    def _llm_type(self) -> str:
        return "pace"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self.identify()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:  # noqa: ANN401
        params = super()._get_ls_params(stop=stop, **kwargs)
        return self._trace_params(params, stop=stop, **kwargs)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> LLMResult:
        with translate_errors():
            requests = self._make_requests(prompts, {**kwargs, "stop": stop})
            if len(requests) == 1:
                return _make_result(requests, [requests[0].ask()])
            futures = answer_together(requests, self.batch_size)
            return _make_result(requests, [future.result() for future in futures])

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> LLMResult:
        with translate_errors():
            options = {**kwargs, "stop": stop}
            requests = await asyncio.to_thread(self._make_requests, prompts, options)
            with expect_calls(len(requests)):
                answers = await asyncio.gather(*(request.aask() for request in requests))
            return _make_result(requests, answers)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[GenerationChunk]:
        with translate_errors():
            (request,) = self._make_requests([prompt], {**kwargs, "stop": stop})
            with request.stream() as stream:
                for piece in stream:
                    chunk = GenerationChunk(text=piece)
                    if run_manager:
                        run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk
                yield GenerationChunk(text="", generation_info=_describe(request, stream.answer))

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[GenerationChunk]:
        with translate_errors():
            options = {**kwargs, "stop": stop}
            (request,) = await asyncio.to_thread(self._make_requests, [prompt], options)
            async with await request.astream() as stream:
                async for piece in stream:
                    chunk = GenerationChunk(text=piece)
                    if run_manager:
                        await run_manager.on_llm_new_token(piece, chunk=chunk)
                    yield chunk
                yield GenerationChunk(text="", generation_info=_describe(request, stream.answer))

    def _make_requests(
        self, prompts: Sequence[str], options: Mapping[str, Any]
    ) -> list[ChatRequest]:
        lazy = self._find_session(self._call_settings(options).model)
        return [self._make_request(lazy, prompt, options) for prompt in prompts]

    def _make_request(
        self, lazy: LazySession, prompt: str, options: Mapping[str, Any]
    ) -> ChatRequest:
        return self._build_request(
            lazy,
            convert_options(options),
            History(prompt),
            lambda _: [{"role": "user", "content": prompt}],
        )


def _make_result(requests: Sequence[ChatRequest], answers: Sequence[Answer]) -> LLMResult:
    made = [
        [Generation(text=answer.text, generation_info=_describe(request, answer))]
        for request, answer in zip(requests, answers, strict=True)
    ]
    counts = [dict(generation[0].generation_info or {})["usage"] for generation in made]
    total = {
        name: sum(count[name] for count in counts)
        for name in ("input_tokens", "output_tokens", "total_tokens")
    }
    return LLMResult(generations=made, llm_output={"token_usage": total})


def _describe(request: ChatRequest, answer: Answer) -> dict[str, Any]:
    usage = dict(count_tokens(request, answer))
    return {**make_metadata(answer, request.session.pace.name), "usage": usage}
