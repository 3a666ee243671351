"""Answers of the session as LangChain takes them: results and chunks."""

from __future__ import annotations

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.answer import Answer
from pace_integrations.langchain.convert import make_message, make_metadata, make_usage


def make_result(request: ChatRequest, answer: Answer) -> ChatResult:
    """Return a whole answer."""
    name, calls = request.session.pace.name, request.format.calls
    message = make_message(answer, name, count_tokens(request, answer), calls=calls)
    return ChatResult(generations=[ChatGeneration(message=message)])


def make_chunk(message: AIMessageChunk) -> ChatGenerationChunk:
    """Return a piece of an answer."""
    return ChatGenerationChunk(message=message)


def make_last_chunk(request: ChatRequest, answer: Answer, *, called: bool) -> ChatGenerationChunk:
    """Return the chunk that ends a stream; it alone carries what is said once."""
    return make_chunk(
        AIMessageChunk(
            content="",
            chunk_position="last",
            usage_metadata=count_tokens(request, answer),
            response_metadata=make_metadata(answer, request.session.pace.name, called=called),
        )
    )


def count_tokens(request: ChatRequest, answer: Answer) -> UsageMetadata:
    """Return the tokens of an answer under LangChain's names."""
    kept = request.prefixes.max_prompts > 0
    return make_usage(answer.usage, fresh=request.fresh, kept=kept)
