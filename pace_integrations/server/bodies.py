"""Bodies of requests: JSON objects whose parts are checked one by one, explicit nulls allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from pace_integrations.server.errors import ApiError

T = TypeVar("T")
_LARGE = 64 * 1024  # bytes from which a body is parsed off the event loop
_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
_NAMES |= {list: "a list", dict: "an object"}


class Body(dict[str, Any]):
    """The JSON object of a request."""

    def read(self, name: str, kind: type[T], default: T | None = None) -> T | None:
        """Return a part of it; None and a part that is missing give the default.

        Raises:
            ApiError: It is of another kind.
        """
        value = self.get(name)
        if value is None:
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            message = f"{name} must be {_NAMES[kind]}, got {json.dumps(value)[:80]}"
            raise ApiError(400, message, param=name, code="invalid_type")
        return value

    def require(self, name: str, kind: type[T]) -> T:
        """Return a part of it that must be there.

        Raises:
            ApiError: It is missing or of another kind.
        """
        value = self.read(name, kind)
        if value is None:
            message = f"{name} is missing; it must be {_NAMES[kind]}"
            raise ApiError(400, message, param=name, code="missing_required_parameter")
        return value

    def read_first(self, names: tuple[str, ...], kind: type[T]) -> T | None:
        """Return the first of several parts that is there."""
        return next((v for name in names if (v := self.read(name, kind)) is not None), None)


async def read_bytes(request: Request, limit: int) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: It is longer than `limit` bytes; no more than that is ever held.
    """
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise ApiError(413, f"the request is longer than {limit} bytes", code="too_large")
            parts.append(part)
    except ClientDisconnect as error:
        raise ApiError(400, "the request ended early") from error
    return b"".join(parts)


async def read_body(request: Request, limit: int) -> Body:
    """Return the JSON object that a request carries.

    Raises:
        ApiError: It is no JSON object, or holds text that is no Unicode.
    """
    data = await read_bytes(request, limit)
    if len(data) < _LARGE:
        return parse_body(data)
    return await asyncio.to_thread(parse_body, data)


def parse_body(data: bytes) -> Body:
    """Return the JSON object in `data`; see `read_body`."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        # A lone surrogate is legal in JSON and in no encoding that a tokenizer knows.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise ApiError(400, f"the body is no valid Unicode: {error}", code="invalid_json") from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is no valid JSON: {error}", code="invalid_json") from None
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise ApiError(400, f"the body must be a JSON object, got {kind}", code="invalid_type")
    return Body(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def dump_json(value: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return JSON as bytes; a lone surrogate from a document stays an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")
