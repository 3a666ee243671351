"""The LangChain face: models over a session, chains, a retriever, a loader, a tool.

Raises:
    MissingExtraError: langchain-core is not installed.
"""

import importlib.util

from pace_integrations.errors import MissingExtraError

if importlib.util.find_spec("langchain_core") is None:
    raise MissingExtraError("pace_integrations.langchain", "langchain")

from pace_integrations.langchain.base import PaceContextOverflowError
from pace_integrations.langchain.chains import create_corpus_qa_chain, create_pace_documents_chain
from pace_integrations.langchain.chat_models import ChatPace
from pace_integrations.langchain.corpus_tool import PaceCorpusTool
from pace_integrations.langchain.document_loaders import PaceLoader
from pace_integrations.langchain.llms import PaceLLM
from pace_integrations.langchain.retrievers import PaceRetriever

__all__ = [
    "ChatPace",
    "PaceContextOverflowError",
    "PaceCorpusTool",
    "PaceLLM",
    "PaceLoader",
    "PaceRetriever",
    "create_corpus_qa_chain",
    "create_pace_documents_chain",
]
