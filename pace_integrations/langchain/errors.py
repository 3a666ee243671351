"""This library's errors as LangChain's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from langchain_core.exceptions import ContextOverflowError as LangChainOverflowError

from pace_integrations import errors
from pace_integrations.adapters.lazy_session import LazySession


class PaceContextOverflowError(errors.ContextOverflowError, LangChainOverflowError):
    """More tokens than the context holds: this library's error and LangChain's at once."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn this library's overflow error into one that is LangChain's as well."""
    try:
        yield
    except PaceContextOverflowError:
        raise
    except errors.ContextOverflowError as error:
        raise PaceContextOverflowError(
            str(error), needed=error.needed, limit=error.limit
        ) from error


class LangChainSession(LazySession):
    """A `LazySession` whose documents may be too long in LangChain's words, wherever it is read."""

    def _guard(self) -> AbstractContextManager[object]:
        return translate_errors()
