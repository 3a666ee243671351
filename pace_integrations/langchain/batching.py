"""Batches of LangChain's chat models: every entry reaches `Session.ask_many`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list

from pace_integrations.adapters.batching import answer_together
from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.adapters.expected_calls import expect_calls, expected_call
from pace_integrations.answer import Answer

Prepare = Callable[[Sequence[BaseMessage]], ChatRequest]


class _Ahead:
    """Conversations that `generate` was given together, and their answers."""

    def __init__(self, conversations: Sequence[Sequence[BaseMessage]], max_batch: int) -> None:
        self._conversations = conversations
        self._max_batch = max_batch
        self._answers: dict[str, Future[Answer]] | None = None

    def find(self, request: ChatRequest, prepare: Prepare) -> Future[Answer] | None:
        """Return the answer to one of the conversations; the first call answers all of them."""
        if self._answers is None:
            requests = [r for r in map(_attempt(prepare), self._conversations) if r is not None]
            alike = [r for r in requests if r.batch_key == request.batch_key]
            keys = [str(r.messages) for r in alike]
            self._answers = dict(zip(keys, answer_together(alike, self._max_batch), strict=True))
        return self._answers.get(str(request.messages))


_ahead: ContextVar[_Ahead | None] = ContextVar("ahead", default=None)


def _attempt(prepare: Prepare) -> Callable[[Sequence[BaseMessage]], ChatRequest | None]:
    """Return `prepare`, giving None for what will be refused when its own turn comes."""

    def attempt(messages: Sequence[BaseMessage]) -> ChatRequest | None:
        try:
            return prepare(messages)
        except Exception:
            return None

    return attempt


def find_ahead_answer(request: ChatRequest, prepare: Prepare) -> Answer | None:
    """Return the answer to a call of `generate` that was answered with the others, or None."""
    ahead = _ahead.get()
    found = ahead.find(request, prepare) if ahead is not None else None
    return found.result() if found is not None else None


class BatchingChatModel(BaseChatModel):
    """A chat model whose batches are announced, so that they are answered together."""

    batch_size: int

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[AIMessage]:
        """Answer several inputs together; each is traced, cached and fails by itself."""
        configs = _allow_concurrency(config, len(inputs))
        with expect_calls(len(inputs), _limit_of(configs)):
            return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[AIMessage]:
        """`batch` without blocking the event loop."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        with expect_calls(len(inputs), _limit_of(configs)):
            return await super().abatch(
                inputs, configs, return_exceptions=return_exceptions, **kwargs
            )

    def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:  # noqa: ANN401
        """Answer an input, which may be one of a batch."""
        with expected_call():
            return super().invoke(*args, **kwargs)

    async def ainvoke(self, *args: Any, **kwargs: Any) -> AIMessage:  # noqa: ANN401
        """`invoke` without blocking the event loop."""
        with expected_call():
            return await super().ainvoke(*args, **kwargs)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> LLMResult:
        """Answer several conversations together."""
        with _answer_ahead(messages, self.batch_size):
            return super().generate(messages, *args, **kwargs)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> LLMResult:
        """`generate` without blocking the event loop."""
        if len(messages) < 2:  # one of a batch, or alone
            return await super().agenerate(messages, *args, **kwargs)
        with expect_calls(len(messages)):
            return await super().agenerate(messages, *args, **kwargs)


@contextmanager
def _answer_ahead(messages: list[list[BaseMessage]], max_batch: int) -> Iterator[None]:
    several = len(messages) > 1 and max_batch > 1
    token = _ahead.set(_Ahead(messages, max_batch) if several else None)
    try:
        yield
    finally:
        _ahead.reset(token)


def _allow_concurrency(
    config: RunnableConfig | list[RunnableConfig] | None, count: int
) -> list[RunnableConfig]:
    """Return configurations in which all inputs may wait at once, unless the caller limits it."""
    if not count:
        return []
    configs = get_config_list(config, count)
    if configs[0].get("max_concurrency") is None:
        configs[0] = {**configs[0], "max_concurrency": count}
    return configs


def _limit_of(configs: Sequence[RunnableConfig]) -> int | None:
    return configs[0].get("max_concurrency") if configs else None
