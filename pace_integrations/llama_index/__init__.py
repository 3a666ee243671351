"""The LlamaIndex face: an LLM, engines, a synthesizer, a retriever and a reader over a session.

Raises:
    MissingExtraError: llama-index-core is not installed.
"""

from pace_integrations.errors import MissingExtraError

try:
    import llama_index.core  # noqa: F401
except ModuleNotFoundError as error:
    # Other distributions put packages into the namespace `llama_index`; what counts is its core.
    # A module that core itself misses is another fault, and keeps its own message.
    if error.name not in ("llama_index", "llama_index.core"):
        raise
    raise MissingExtraError("pace_integrations.llama_index", "llama-index") from error

from pace_integrations.llama_index.agents import PaceCorpusTool
from pace_integrations.llama_index.chat_engine import PaceChatEngine
from pace_integrations.llama_index.events import (
    PaceMemoryEvent,
    PaceReadEndEvent,
    PaceReadProgressEvent,
    PaceReadStartEvent,
)
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.memory_block import PaceMemoryBlock
from pace_integrations.llama_index.query_engine import PaceQueryEngine
from pace_integrations.llama_index.reader import PaceReader
from pace_integrations.llama_index.retriever import PaceRetriever
from pace_integrations.llama_index.synthesizer import PaceSynthesizer

__all__ = [
    "PaceChatEngine",
    "PaceCorpusTool",
    "PaceLLM",
    "PaceMemoryBlock",
    "PaceMemoryEvent",
    "PaceQueryEngine",
    "PaceReadEndEvent",
    "PaceReadProgressEvent",
    "PaceReadStartEvent",
    "PaceReader",
    "PaceRetriever",
    "PaceSynthesizer",
]
