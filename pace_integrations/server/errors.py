"""Errors in the form that OpenAI's clients know: a status, and what the body says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pace_integrations import errors


class ApiError(Exception):
    """What a client is told instead of an answer.

    Attributes:
        status: HTTP status.
        message: What is wrong, and what to do next.
        kind: OpenAI's ``type``.
        param: Name of the part of the request that is wrong, or None.
        code: OpenAI's ``code``, or None.
        headers: Headers of the reply.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def to_body(self) -> dict[str, Any]:
        """Return the body of the reply."""
        inner = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": inner}


def not_found(what: str, name: str) -> ApiError:
    """Return the error for what is not there, or is another's."""
    return ApiError(404, f"there is no {what} {name!r}", code=f"{what.replace(' ', '_')}_not_found")


# A setting that its own class refuses stands first in what it says.
_SETTING = re.compile(r"(top_p|top_k|seed|temperature|tool_choice|response_format)\b")


def option_error(param: str, advice: str) -> ApiError:
    """Return the error for a part of a request that this server cannot honor."""
    message = f"{param} is not supported: {advice}"
    return ApiError(400, message, param=param, code="unsupported_parameter")


def to_api_error(error: Exception) -> ApiError:
    """Return what a client is told of an exception; of one that nobody expected, nothing."""
    if isinstance(error, ApiError):
        return error
    text = str(error)
    if isinstance(error, errors.ContextOverflowError):
        return ApiError(400, text, param="messages", code="context_length_exceeded")
    if isinstance(error, errors.DeadlineExceededError):
        return ApiError(504, text, kind="timeout_error", code="deadline_exceeded")
    if isinstance(error, errors.MissingExtraError):
        return ApiError(501, text, kind="server_error", code="missing_extra")
    if isinstance(error, (errors.QuestionError, errors.ConfigError, errors.DocumentError)):
        named = _SETTING.match(text)
        return ApiError(400, text, param=named[1] if named else None, code="invalid_value")
    if isinstance(error, errors.PaceError):
        return ApiError(500, text, kind="server_error", code="server_error")
    return ApiError(
        500,
        "the server failed to answer; its log says more under the request id",
        kind="server_error",
        code="server_error",
    )
