"""LangChain's name for an integration: the wheel installs this module as ``langchain_pace``."""

from __future__ import annotations

from pace_integrations import __version__
from pace_integrations.langchain import (
    ChatPace,
    CitedText,
    PaceContextOverflowError,
    PaceCorpusTool,
    PaceLLM,
    PaceLoader,
    PageRetriever,
    create_corpus_qa_chain,
    create_pace_documents_chain,
)

__all__ = [
    "ChatPace",
    "CitedText",
    "PaceContextOverflowError",
    "PaceCorpusTool",
    "PaceLLM",
    "PaceLoader",
    "PageRetriever",
    "__version__",
    "create_corpus_qa_chain",
    "create_pace_documents_chain",
]
