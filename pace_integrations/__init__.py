"""Read a document collection once with a local language model that remembers, then ask it.

Importing this package loads neither PyTorch nor a framework: the names below are resolved when
they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace_integrations._lazy import offer_names
from pace_integrations._renamed import find_moved_modules

if TYPE_CHECKING:
    from pace_integrations.answer import Answer, Citation, Usage
    from pace_integrations.config import Constraint, GenerationConfig, MemoryConfig, ReadConfig
    from pace_integrations.documents import Corpus, Document
    from pace_integrations.errors import PaceError
    from pace_integrations.library import Library
    from pace_integrations.session import Pace, Session

__version__ = "0.2.0"

_HOMES = {
    "Answer": "answer",
    "Citation": "answer",
    "Constraint": "config",
    "Corpus": "documents",
    "Document": "documents",
    "ExpertConfig": "config",
    "GenerationConfig": "config",
    "Library": "library",
    "MemoryConfig": "config",
    "Pace": "session",
    "PaceError": "errors",
    "ReadConfig": "config",
    "Session": "session",
    "Usage": "answer",
}

__all__ = [
    "Answer",
    "Citation",
    "Constraint",
    "Corpus",
    "Document",
    "ExpertConfig",
    "GenerationConfig",
    "Library",
    "MemoryConfig",
    "Pace",
    "PaceError",
    "ReadConfig",
    "Session",
    "Usage",
    "__version__",
]

__getattr__, __dir__ = offer_names(__name__, _HOMES, __all__)
find_moved_modules()
