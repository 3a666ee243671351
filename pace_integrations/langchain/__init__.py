"""LangChain integration: chat model, LLM, chains, retriever, loader and tool backed by a session.

The names below are resolved when they are first used: the loader needs no PyTorch.

Raises:
    MissingExtraError: langchain-core is not installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from pace_integrations._lazy import offer_names
from pace_integrations.errors import MissingExtraError

if importlib.util.find_spec("langchain_core") is None:
    raise MissingExtraError("pace_integrations.langchain", "langchain")

if TYPE_CHECKING:
    from pace_integrations.langchain.chains import (
        CitedText,
        create_corpus_qa_chain,
        create_pace_documents_chain,
    )
    from pace_integrations.langchain.chat_models import ChatPace
    from pace_integrations.langchain.corpus_tool import PaceCorpusTool
    from pace_integrations.langchain.document_loaders import PaceLoader
    from pace_integrations.langchain.errors import PaceContextOverflowError
    from pace_integrations.langchain.library import PaceLibraryRetriever, create_library_qa_chain
    from pace_integrations.langchain.library_chat import ChatPaceLibrary
    from pace_integrations.langchain.llms import PaceLLM
    from pace_integrations.langchain.retrievers import PageRetriever

_HOMES = {
    "ChatPace": "chat_models",
    "ChatPaceLibrary": "library_chat",
    "CitedText": "chains",
    "PaceContextOverflowError": "errors",
    "PaceCorpusTool": "corpus_tool",
    "PaceLLM": "llms",
    "PaceLibraryRetriever": "library",
    "PaceLoader": "document_loaders",
    "PageRetriever": "retrievers",
    "create_corpus_qa_chain": "chains",
    "create_library_qa_chain": "library",
    "create_pace_documents_chain": "chains",
}

__all__ = [
    "ChatPace",
    "ChatPaceLibrary",
    "CitedText",
    "PaceContextOverflowError",
    "PaceCorpusTool",
    "PaceLLM",
    "PaceLibraryRetriever",
    "PaceLoader",
    "PageRetriever",
    "create_corpus_qa_chain",
    "create_library_qa_chain",
    "create_pace_documents_chain",
]

__getattr__, __dir__ = offer_names(__name__, _HOMES, __all__)
