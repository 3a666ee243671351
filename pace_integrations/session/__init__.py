"""Read once, ask many: a loaded model, what it has read, and its answers."""

from pace_integrations.session.conversation import Conversation
from pace_integrations.session.pace import Pace
from pace_integrations.session.session import Session
from pace_integrations.session.streams import AnswerStream, AsyncAnswerStream

__all__ = ["AnswerStream", "AsyncAnswerStream", "Conversation", "Pace", "Session"]
