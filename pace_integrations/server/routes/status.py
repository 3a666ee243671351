"""Models, health and figures."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from pace_integrations import __version__
from pace_integrations.server.core import DEFAULT_MODEL, ServerCore
from pace_integrations.server.errors import not_found
from pace_integrations.server.routes.common import get_core, get_namespace, read_json, reply_json

router = APIRouter()


def _describe_model(core: ServerCore, name: str, created: int) -> dict[str, Any]:
    """Return a model as the clients of OpenAI, vLLM, OpenRouter and llama.cpp look for it."""
    window = core.pace.context_window
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "pace-integrations",
        "root": core.pace.name,
        "max_model_len": window,
        "context_length": window,
        "meta": {"n_ctx_train": window},
    }


def _list_models(core: ServerCore, namespace: str) -> list[dict[str, Any]]:
    names = [(DEFAULT_MODEL, core.created_at)]
    names += [(f"pace/{lib.id}", lib.created_at) for lib in core.libraries.list_visible(namespace)]
    names.append((core.pace.name, core.created_at))
    return [_describe_model(core, *pair) for pair in names]


@router.get("/v1/models")
@router.get("/models")
async def list_models(request: Request) -> Response:
    """Return the libraries, each as a model, and the model itself."""
    data = _list_models(get_core(request), get_namespace(request))
    return reply_json({"object": "list", "data": data})


@router.get("/v1/models/{model:path}")
@router.get("/models/{model:path}")
async def get_model(request: Request, model: str) -> Response:
    """Return a model; the names of libraries hold a slash."""
    for known in _list_models(get_core(request), get_namespace(request)):
        if known["id"] == model:
            return reply_json(known)
    raise not_found("model", model)


@router.head("/health")
@router.get("/health")
async def check_health(request: Request) -> Response:
    """Return whether the server is alive and takes requests."""
    admission, settings = get_core(request).admission, get_core(request).settings
    full = admission.running >= settings.slots and admission.waiting >= settings.queue_length
    return reply_json({"status": "busy" if full else "ok"}, 503 if full else 200)


@router.head("/ready")
@router.get("/ready")
async def check_readiness(request: Request) -> Response:
    """Return whether all that was to be read at the start has been read."""
    libraries = get_core(request).libraries.list_all()
    reading = sum(library.status == "in_progress" for library in libraries)
    state = {"ready": not reading, "reading": reading}
    return reply_json(state, 503 if reading else 200)


@router.get("/metrics")
async def read_metrics(request: Request) -> Response:
    """Return what was counted, for Prometheus."""
    text = await asyncio.to_thread(get_core(request).metrics.write_text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/version")
async def read_version(request: Request) -> Response:
    """Return the version of the package and the name of the model."""
    return reply_json({"version": __version__, "model": get_core(request).pace.name})


@router.post("/tokenize")
async def tokenize_text(request: Request) -> Response:
    """Return the token ids of a text."""
    body = await read_json(request)
    name = "prompt" if "prompt" in body else "content"
    core = get_core(request)
    ids = await asyncio.to_thread(core.pace.token_ids, body.require(name, str))
    return reply_json({"tokens": ids, "count": len(ids), "max_model_len": core.pace.context_window})
