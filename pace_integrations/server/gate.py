"""What every request passes first: who asks, from where, and under which id."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pace_integrations.server.bodies import dump_json
from pace_integrations.server.core import ServerCore
from pace_integrations.server.errors import ApiError, to_api_error
from pace_integrations.server.streaming import ClientGoneError

_OPEN = frozenset({"/", "/health", "/ready", "/favicon.ico"})  # nothing of anybody's is in them
_ID = re.compile(r"[\w.-]{1,64}")
_METHODS = "GET, POST, DELETE, OPTIONS"
_log = logging.getLogger(__name__)


class Gate:
    """Checks host, origin and key of every request, gives it an id and counts it.

    Args:
        app: What answers.
        core: The server's core.
    """

    def __init__(self, app: ASGIApp, core: ServerCore) -> None:
        self._app = app
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"req_{uuid.uuid4().hex[:20]}"
        extra = {"x-request-id": request_id, **self._allow_origin(headers)}
        watch = _ReplyWatch(send, extra)
        start = time.monotonic()
        try:
            self._check_origin(headers)
            if scope["method"] == "OPTIONS" and "origin" in headers:
                await _allow_preflight(headers)(scope, receive, watch)
                return
            scope["pace_namespace"] = self._check_key(scope, headers)
            await self._app(scope, receive, watch)
        except ClientGoneError:
            watch.status = 499
        except Exception as error:
            known = to_api_error(error)
            if known.status >= 500 and not isinstance(error, ApiError):
                _log.exception("request %s failed", request_id)
            if watch.status:
                raise
            await make_error_response(known)(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._core.metrics.count_request(route, watch.status)
            took = time.monotonic() - start
            # The path alone: queries and headers hold signatures and keys.
            _log.info("%s %s %s %d %.3fs", request_id, scope["method"], route, watch.status, took)

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        settings, host = self._core.settings, headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if not settings.is_known_host(name):
            raise ApiError(
                421,
                f"this server does not answer to the name {name!r}; start it with --allow-host",
                code="unknown_host",
            )
        origin = headers.get("origin")
        if origin is None or origin in settings.origins:
            return
        if urlsplit(origin).netloc != host:
            raise ApiError(
                403,
                f"pages of {origin!r} may not call this server; start it with --allow-origin",
                code="origin_not_allowed",
            )

    def _check_key(self, scope: Scope, headers: Mapping[str, str]) -> str:
        request = Request(scope)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
        namespace = self._core.settings.find_namespace(key)
        namespace = namespace or self._read_signature(request)
        if namespace is None and request.url.path in _OPEN:
            namespace = "nobody"
        if namespace is None:
            what = "is wrong" if key else "is missing: send Authorization: Bearer KEY"
            raise ApiError(
                401,
                f"the API key {what}",
                kind="authentication_error",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        return namespace

    def _read_signature(self, request: Request) -> str | None:
        """Return whose page a link opens by itself: browsers follow citations without a key."""
        found = re.fullmatch(r"/pages/([^/]+)/(\d{1,9})", request.scope["path"])
        given = request.query_params.get("sig")
        if found is None or given is None:
            return None
        return self._core.read_signature(given, found[1], int(found[2]))

    def _allow_origin(self, headers: Mapping[str, str]) -> dict[str, str]:
        origin = headers.get("origin")
        if origin is None or origin not in self._core.settings.origins:
            return {}
        return {"access-control-allow-origin": origin, "vary": "Origin"}


def _allow_preflight(headers: Mapping[str, str]) -> Response:
    asked = headers.get("access-control-request-headers", "authorization, content-type")
    allowed = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": asked,
        "access-control-max-age": "600",
    }
    return Response(status_code=204, headers=allowed)


class _ReplyWatch:
    """Sends on what is sent, adds headers, and remembers the status."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def make_error_response(error: ApiError) -> Response:
    """Return the reply that tells of an error."""
    body = dump_json(error.to_body())
    return Response(body, error.status, error.headers, media_type="application/json")
