"""A server for OpenAI's clients, a page in the browser, and tools for assistants (MCP)."""

from pace_integrations.server.app import make_app
from pace_integrations.server.settings import ServerSettings

__all__ = ["ServerSettings", "make_app"]
