"""Roles under every name, and turns that a session can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pace_integrations.errors import QuestionError

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message

Role = Literal["system", "user", "assistant", "tool"]
# The names of OpenAI, Anthropic, Google, LangChain, LlamaIndex and of chat templates.
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
}


def parse_role(name: str) -> Role:
    """Return a role from any of its names.

    Raises:
        QuestionError: Nobody speaks under this name.
    """
    role = _ROLES.get(name.lower())
    if role is None:
        raise QuestionError(
            f"messages of role {name!r} are not supported; send system, user, assistant and tool "
            "messages"
        )
    return role


def settle_messages(messages: Sequence[Message]) -> list[Message]:
    """Return a conversation that asks something: where only the system speaks, it is asked that."""
    settled = list(messages)
    if settled and all(message["role"] == "system" for message in settled):
        settled[-1] = {"role": "user", "content": settled[-1]["content"]}
    return settled
