"""What both LangChain model classes share: fields, identity, and loading off the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar

from langchain_core.language_models import LangSmithParams

from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.adapters.session_fields import PaceFields
from pace_integrations.langchain.errors import LangChainSession, translate_errors


class LangChainFields(PaceFields):
    """`PaceFields` for a class of LangChain."""

    _session_class: ClassVar[type[LazySession]] = LangChainSession

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Load and read off the event loop, then do what LangChain does.

        LangChain asks for `_identifying_params` on the loop before it calls `_agenerate`.
        """
        await self._binding.asession()
        return await super().agenerate(*args, **kwargs)  # type: ignore[misc]

    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: ANN401
        """Load and read off the event loop, then do what LangChain does; see `agenerate`."""
        await self._binding.asession()
        # Closing this generator must close the one within, or the model would write on.
        async with aclosing(super().astream(*args, **kwargs)) as chunks:  # type: ignore[misc]
            async for chunk in chunks:
                yield chunk

    def get_token_ids(self, text: str) -> list[int]:
        """Return ids of a text in the model's own tokenizer."""
        with translate_errors():
            return self._binding.pace.token_ids(text)

    def _trace_params(self, params: LangSmithParams, **kwargs: Any) -> LangSmithParams:  # noqa: ANN401
        settings = self._call_settings(kwargs)
        params["ls_provider"] = "pace"
        params["ls_model_name"] = settings.model or self._binding.name
        params["ls_temperature"] = settings.generation.temperature
        params["ls_max_tokens"] = settings.generation.max_new_tokens
        return params
