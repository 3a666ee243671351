"""A model behind an OpenAI endpoint: requests out, text in. Knows no documents.

For vLLM, SGLang, llama-server, ``pace serve`` and services. What such a server has read it keeps to
itself, so there are no states here: the pages of each question are sent with it.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from pace_integrations.answer import FinishReason
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import (
    ConfigError,
    DeadlineExceededError,
    ModelLoadError,
    PaceError,
    QuestionError,
)

_CONTEXT = 8192  # tokens, where the endpoint does not say
_WINDOWS = ("max_model_len", "context_length", "context_window")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a reply.

    Attributes:
        text: New text.
        finish: Why the answer ends with it, or None.
        usage: Tokens of the prompt, of those that were cached, and of the answer, where told.
    """

    text: str = ""
    finish: FinishReason | None = None
    usage: tuple[int, int, int] | None = None


class Endpoint:
    """A model that is asked over HTTP.

    Args:
        url: Address of the interface, such as ``http://gpu1:8000/v1``.
        model: Name of the model; None takes the first that the endpoint lists.
        api_key: Key, where one is needed.
        context: Tokens of its context; None takes what the endpoint says, or 8,192.
        client: What sends the requests; one is made where none is given.

    Raises:
        ModelLoadError: The endpoint does not answer, or has no such model.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        context: int | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"an endpoint is an address like http://gpu1:8000/v1, got {url!r}")
        self.url = url.rstrip("/")
        self._client = client or httpx.Client()
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        facts = self._find_model(model)
        self.model = str(facts["id"])
        told = next((facts[name] for name in _WINDOWS if isinstance(facts.get(name), int)), None)
        self.context_window = context or told or _CONTEXT

    def stream(
        self,
        messages: Sequence[Mapping[str, str]],
        generation: GenerationConfig,
        timeout: float | None,
    ) -> Generator[Chunk]:
        """Ask; yields what is written. Closing the iterator closes the connection.

        Args:
            messages: The conversation.
            generation: How the answer is written.
            timeout: Seconds without a sign of the endpoint after which it is given up.

        Raises:
            QuestionError: The endpoint refuses the request.
            DeadlineExceededError: It takes too long.
            PaceError: It fails, or its answer ends early.
        """
        body = {
            "model": self.model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **_write_settings(generation),
        }
        address = f"{self.url}/chat/completions"
        finished = False
        try:
            with self._client.stream(
                "POST", address, json=body, headers=self._headers, timeout=timeout
            ) as reply:
                if reply.status_code != 200:
                    reply.read()
                    raise self._refuse(reply)
                for line in reply.iter_lines():
                    if line.startswith("data:") and line != "data: [DONE]":
                        chunk = _parse_event(line.removeprefix("data:"))
                        finished = finished or chunk.finish is not None
                        yield chunk
        except httpx.TimeoutException as error:
            raise DeadlineExceededError(f"{self.url} was silent for {timeout} s") from error
        except httpx.HTTPError as error:
            raise PaceError(f"{self.url} broke off: {error}; ask again") from error
        if not finished:
            raise PaceError(f"{self.url} ended its answer early; ask again")

    def _find_model(self, wanted: str | None) -> dict[str, Any]:
        try:
            reply = self._client.get(f"{self.url}/models", headers=self._headers)
            if reply.status_code != 200:
                raise ModelLoadError(str(self._refuse(reply)))
            listed: list[dict[str, Any]] = reply.json()["data"]
            names = [str(row["id"]) for row in listed]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ModelLoadError(
                f"{self.url} lists no models ({error}); check the address, which ends in /v1"
            ) from error
        found = wanted if wanted is not None else next(iter(names), None)
        if found is None or found not in names:
            raise ModelLoadError(f"{self.url} has no model {wanted!r}; it has {names[:10]}")
        return listed[names.index(found)]

    def _refuse(self, reply: httpx.Response) -> PaceError:
        try:
            told = reply.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            told = reply.text[:200]
        message = f"{self.url} answers {reply.status_code}: {told}"
        if reply.status_code in (401, 403):
            return ModelLoadError(f"{message}; give api_key=")
        if 400 <= reply.status_code < 500 and reply.status_code != 429:
            return QuestionError(message)
        return PaceError(f"{message}; try again later")


def _write_settings(generation: GenerationConfig) -> dict[str, Any]:
    if generation.constraint is not None:
        raise ConfigError("a constraint needs a model in this process; ask without one")
    given: dict[str, Any] = {
        "max_tokens": generation.max_new_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
    }
    if generation.top_k:
        given["top_k"] = generation.top_k  # known to vLLM, SGLang and llama-server
    if generation.seed is not None:
        given["seed"] = generation.seed
    if generation.stop:
        given["stop"] = list(generation.stop)
    return given


def _parse_event(data: str) -> Chunk:
    try:
        event = json.loads(data)
        if "error" in event:
            raise PaceError(f"the endpoint failed: {event['error'].get('message')}; ask again")
        choice: dict[str, Any] = next(iter(event.get("choices") or ()), {})
        text = (choice.get("delta") or {}).get("content") or ""
        reason = choice.get("finish_reason")
        finish = None if reason is None else "length" if reason == "length" else "stop"
        usage = event.get("usage")
        return Chunk(text, cast(FinishReason | None, finish), _parse_usage(usage))
    except (ValueError, AttributeError, TypeError) as error:
        raise PaceError(f"the endpoint wrote what is no event: {data[:80]!r}") from error


def _parse_usage(usage: Mapping[str, Any] | None) -> tuple[int, int, int] | None:
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    cached = int(details.get("cached_tokens") or 0)
    return int(usage["prompt_tokens"]), cached, int(usage["completion_tokens"])
