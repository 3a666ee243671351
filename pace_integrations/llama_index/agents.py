"""`PaceCorpusTool`: lets an agent ask what has been read, and see where the answer stands."""

from __future__ import annotations

from typing import Any

from llama_index.core.tools import QueryEngineTool, ToolOutput

from pace_integrations.adapters.citations import describe_citations
from pace_integrations.llama_index.convert import read_citations


class PaceCorpusTool(QueryEngineTool):
    """A `QueryEngineTool` whose answers name their pages and quote them.

    A model that is given only the answer has nothing to base its own on. Make it with
    ``PaceCorpusTool.from_defaults(engine, name=..., description=...)``.
    """

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:  # noqa: ANN401
        """Ask the engine."""
        return _add_sources(super().call(*args, **kwargs))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:  # noqa: ANN401
        """`call` without blocking the event loop."""
        return _add_sources(await super().acall(*args, **kwargs))


def _add_sources(output: ToolOutput) -> ToolOutput:
    lines = describe_citations(read_citations(output.raw_output.metadata))
    if lines:
        output.content = "\n".join([output.content, "Sources:", *lines])
    return output
