"""`PaceMemoryBlock`: long-term memory of an agent that was read, not embedded."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import Field
from llama_index.core.memory.memory import BaseMemoryBlock

from pace_integrations.adapters.citations import describe_citations
from pace_integrations.llama_index.convert import read_citations
from pace_integrations.llama_index.llm import PaceLLM


class PaceMemoryBlock(BaseMemoryBlock[str]):
    """Answers the user's last message from a session and puts that into the conversation.

    Give it to ``Memory.from_defaults(memory_blocks=[...])``. It holds documents, so messages that
    leave the short-term memory do not enter it.

    Attributes:
        llm: What is asked.
    """

    name: str = Field(default="Documents", description="Name of the block in the prompt.")
    accept_short_term_memory: bool = Field(default=False, description="Whether messages enter.")
    llm: PaceLLM = Field(description="What is asked.", exclude=True)

    async def _aget(
        self,
        messages: list[ChatMessage] | None = None,
        **block_kwargs: Any,  # noqa: ANN401
    ) -> str:
        asked = [m for m in messages or [] if m.role == MessageRole.USER and m.content]
        if not asked:
            return ""
        said = await self.llm.acomplete(asked[-1].content or "")
        return "\n".join([said.text, *describe_citations(read_citations(said.raw))])

    async def _aput(self, messages: list[ChatMessage]) -> None:
        """Keep nothing: documents do not change by being talked about."""
