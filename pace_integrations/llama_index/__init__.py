"""LlamaIndex integration: LLM, engines, synthesizer, retriever and reader backed by a session.

The names below are resolved when they are first used: the reader needs no PyTorch.

Raises:
    MissingExtraError: llama-index-core is not installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from pace_integrations._lazy import offer_names
from pace_integrations.errors import MissingExtraError


def _is_installed() -> bool:
    # Other distributions put packages into the namespace `llama_index`; what counts is its core.
    try:
        return importlib.util.find_spec("llama_index.core") is not None
    except (ModuleNotFoundError, ValueError):
        return False


if not _is_installed():
    raise MissingExtraError("pace_integrations.llama_index", "llama-index")

if TYPE_CHECKING:
    from pace_integrations.llama_index.agents import PaceCorpusTool
    from pace_integrations.llama_index.chat_engine import PaceChatEngine
    from pace_integrations.llama_index.events import (
        PaceMemoryEvent,
        PaceReadEndEvent,
        PaceReadProgressEvent,
        PaceReadStartEvent,
    )
    from pace_integrations.llama_index.library import (
        PaceLibraryQueryEngine,
        PaceLibraryRetriever,
    )
    from pace_integrations.llama_index.library_chat import PaceLibraryChatEngine
    from pace_integrations.llama_index.llm import PaceLLM
    from pace_integrations.llama_index.memory_block import PaceMemoryBlock
    from pace_integrations.llama_index.query_engine import PaceQueryEngine
    from pace_integrations.llama_index.reader import PaceReader
    from pace_integrations.llama_index.retriever import CitedPageRetriever
    from pace_integrations.llama_index.synthesizer import PaceSynthesizer

_HOMES = {
    "CitedPageRetriever": "retriever",
    "PaceChatEngine": "chat_engine",
    "PaceCorpusTool": "agents",
    "PaceLLM": "llm",
    "PaceLibraryChatEngine": "library_chat",
    "PaceLibraryQueryEngine": "library",
    "PaceLibraryRetriever": "library",
    "PaceMemoryBlock": "memory_block",
    "PaceMemoryEvent": "events",
    "PaceQueryEngine": "query_engine",
    "PaceReadEndEvent": "events",
    "PaceReadProgressEvent": "events",
    "PaceReadStartEvent": "events",
    "PaceReader": "reader",
    "PaceSynthesizer": "synthesizer",
}

__all__ = [
    "CitedPageRetriever",
    "PaceChatEngine",
    "PaceCorpusTool",
    "PaceLLM",
    "PaceLibraryChatEngine",
    "PaceLibraryQueryEngine",
    "PaceLibraryRetriever",
    "PaceMemoryBlock",
    "PaceMemoryEvent",
    "PaceQueryEngine",
    "PaceReadEndEvent",
    "PaceReadProgressEvent",
    "PaceReadStartEvent",
    "PaceReader",
    "PaceSynthesizer",
]

__getattr__, __dir__ = offer_names(__name__, _HOMES, __all__)
