"""The application: every interface on one core."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pace_integrations import __version__
from pace_integrations.server.core import ServerCore
from pace_integrations.server.errors import ApiError
from pace_integrations.server.gate import Gate, make_error_response
from pace_integrations.server.library_backend import LocalBackends
from pace_integrations.server.routes import (
    chat,
    files,
    messages,
    pages,
    responses,
    start_page,
    status,
    vector_stores,
)
from pace_integrations.server.settings import ServerSettings

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from pace_integrations.session import Pace

_ROUTERS = (
    chat.router,
    responses.router,
    messages.router,
    files.router,
    vector_stores.router,
    pages.router,
    start_page.router,
    status.router,
)


def make_app(pace: Pace, settings: ServerSettings | None = None) -> FastAPI:
    """Return the application that serves a model.

    Its core is ``app.state.core``; closing the application ends the reading, not the model.

    Args:
        pace: The model.
        settings: Limits and permissions.
    """
    return serve_core(ServerCore(pace, settings or ServerSettings(), LocalBackends(pace)))


def serve_core(core: ServerCore) -> FastAPI:
    """Return the application of a core, whatever answers behind it."""
    sessions = _make_mcp_sessions(core)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with sessions.run() if sessions else nullcontext():
            yield
        core.close()

    # The interactive pages of FastAPI load scripts from elsewhere.
    app = FastAPI(
        title="pace-integrations",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.core = core
    for router in _ROUTERS:
        app.include_router(router)
    if sessions:
        app.router.routes.append(Route("/mcp", McpEndpoint(sessions), name="mcp"))
    app.add_exception_handler(HTTPException, _reply_to_http_error)
    app.add_middleware(Gate, core=core)
    return app


class McpEndpoint:
    """The address of the Model Context Protocol; the gate has checked host, origin and key."""

    def __init__(self, sessions: StreamableHTTPSessionManager) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._sessions.handle_request(scope, receive, send)


def _make_mcp_sessions(core: ServerCore) -> StreamableHTTPSessionManager | None:
    """Return what answers assistants, or None without the ``mcp`` extra."""
    if importlib.util.find_spec("mcp") is None:
        return None
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from pace_integrations.server.assistant_tools import make_mcp_server

    # No state between requests: a restart or a second server loses nothing.
    server = make_mcp_server(core)
    return StreamableHTTPSessionManager(server._lowlevel_server, stateless=True)


async def _reply_to_http_error(request: Request, error: Exception) -> Response:
    """Return the routers' own errors in OpenAI's form."""
    assert isinstance(error, HTTPException)
    words = {404: "there is no such address", 405: "this address does not take this method"}
    message = words.get(error.status_code, str(error.detail))
    text = f"{message}: {request.method} {request.url.path}"
    return make_error_response(ApiError(error.status_code, text, headers=error.headers))
