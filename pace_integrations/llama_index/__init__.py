"""The LlamaIndex face: an LLM and a query engine over a session.

Raises:
    MissingExtraError: llama-index-core is not installed.
"""

import importlib.util

from pace_integrations.errors import MissingExtraError

if importlib.util.find_spec("llama_index") is None:
    raise MissingExtraError("pace_integrations.llama_index", "llama-index")

from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.query_engine import PaceQueryEngine

__all__ = ["PaceLLM", "PaceQueryEngine"]
