"""The LangChain face: a chat model and a completion model over a session.

Raises:
    MissingExtraError: langchain-core is not installed.
"""

import importlib.util

from pace_integrations.errors import MissingExtraError

if importlib.util.find_spec("langchain_core") is None:
    raise MissingExtraError("pace_integrations.langchain", "langchain")

from pace_integrations.langchain.chat_models import ChatPace
from pace_integrations.langchain.fields import PaceContextOverflowError
from pace_integrations.langchain.llms import PaceLLM

__all__ = ["ChatPace", "PaceContextOverflowError", "PaceLLM"]
