"""``/v1/vector_stores``: libraries, what became of their files, and the search in them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from pace_integrations.server.bodies import Body
from pace_integrations.server.citations import CitationWriter, name_source
from pace_integrations.server.core import ServerCore, Target
from pace_integrations.server.errors import ApiError, not_found
from pace_integrations.server.records import FileEntry, Library
from pace_integrations.server.routes.common import (
    get_core,
    get_namespace,
    make_id,
    read_json,
    reply_json,
    reply_list,
)

router = APIRouter()


def _describe_library(library: Library) -> dict[str, Any]:
    progress = library.progress
    return {
        "id": library.id,
        "object": "vector_store",
        "name": library.name,
        "created_at": library.created_at,
        "last_active_at": library.last_used,
        "usage_bytes": library.measure_size(),
        "status": library.status,
        "file_counts": library.count_files(),
        "metadata": library.metadata,
        "expires_after": None,
        "expires_at": None,
        "pace": {
            "model": f"pace/{library.id}",
            "tokens": library.backend.tokens if library.backend else 0,
            "tokens_read": getattr(library.backend, "tokens_read", None),  # found on disk: 0
            "pages": library.count_pages(),
            "read": {"done": progress[0], "total": progress[1]} if progress else None,
            "removable": library.source is None,
        },
    }


def _describe_entry(library: Library, entry: FileEntry) -> dict[str, Any]:
    problem = None
    if entry.status == "failed":
        code = "unsupported_file" if "unsupported" in (entry.problem or "") else "invalid_file"
        problem = {"code": code, "message": entry.problem or "it could not be read"}
    return {
        "id": entry.id,
        "object": "vector_store.file",
        "created_at": entry.created_at,
        "vector_store_id": library.id,
        "status": entry.status,
        "last_error": problem,
        "usage_bytes": entry.bytes,
        "attributes": {},
        "chunking_strategy": {"type": "other"},
        "pace": {"filename": entry.filename, "note": entry.problem},
    }


@router.post("/v1/vector_stores")
async def create_library(request: Request) -> Response:
    """Make a library, and start reading files into it."""
    body, core = await read_json(request), get_core(request)
    namespace, file_ids = get_namespace(request), body.read("file_ids", list) or []
    for file_id in file_ids:  # before anything is made
        core.uploads.get(namespace, str(file_id))
    name = (body.read("name", str) or "library")[:200]
    metadata = body.read("metadata", dict)
    library = await asyncio.to_thread(core.libraries.create, namespace, name, metadata)
    if file_ids:
        core.libraries.add_uploads(library, [str(file_id) for file_id in file_ids])
    return reply_json(await asyncio.to_thread(_describe_library, library))


@router.get("/v1/vector_stores")
async def list_libraries(request: Request) -> Response:
    """Return the libraries of this namespace and those of everybody."""
    libraries = get_core(request).libraries.list_visible(get_namespace(request))
    return reply_list(
        request, await asyncio.to_thread(lambda: [*map(_describe_library, libraries)])
    )


def _find_library(request: Request, library_id: str) -> tuple[ServerCore, Library]:
    core = get_core(request)
    return core, core.libraries.get(get_namespace(request), library_id)


@router.get("/v1/vector_stores/{library_id}")
async def get_library(request: Request, library_id: str) -> Response:
    """Return what is known of a library."""
    _, library = _find_library(request, library_id)
    return reply_json(await asyncio.to_thread(_describe_library, library))


@router.post("/v1/vector_stores/{library_id}")
async def rename_library(request: Request, library_id: str) -> Response:
    """Give a library another name or other notes."""
    body, (core, library) = await read_json(request), _find_library(request, library_id)
    name, metadata = body.read("name", str), body.read("metadata", dict)
    await asyncio.to_thread(core.libraries.rename, library, name, metadata)
    return reply_json(await asyncio.to_thread(_describe_library, library))


@router.delete("/v1/vector_stores/{library_id}")
async def delete_library(request: Request, library_id: str) -> Response:
    """Remove a library with all that was read; uploaded files stay."""
    core, library = _find_library(request, library_id)
    core.libraries.remove(library)
    return reply_json({"id": library_id, "object": "vector_store.deleted", "deleted": True})


@router.post("/v1/vector_stores/{library_id}/files")
async def add_file(request: Request, library_id: str) -> Response:
    """Start reading a file into a library."""
    body, (core, library) = await read_json(request), _find_library(request, library_id)
    (entry,) = core.libraries.add_uploads(library, [body.require("file_id", str)])
    return reply_json(_describe_entry(library, entry))


@router.get("/v1/vector_stores/{library_id}/files")
async def list_library_files(request: Request, library_id: str) -> Response:
    """Return the files of a library and what became of each."""
    _, library = _find_library(request, library_id)
    wanted = request.query_params.get("filter")
    entries = [e for e in library.files.values() if wanted in (None, e.status)]
    return reply_list(request, [_describe_entry(library, entry) for entry in entries])


@router.get("/v1/vector_stores/{library_id}/files/{file_id}")
async def get_library_file(request: Request, library_id: str, file_id: str) -> Response:
    """Return what became of a file of a library."""
    _, library = _find_library(request, library_id)
    if file_id not in library.files:
        raise not_found("file", file_id)
    return reply_json(_describe_entry(library, library.files[file_id]))


@router.delete("/v1/vector_stores/{library_id}/files/{file_id}")
async def remove_file(request: Request, library_id: str, file_id: str) -> Response:
    """Take a file out of a library."""
    core, library = _find_library(request, library_id)
    core.libraries.remove_file(library, file_id)
    return reply_json({"id": file_id, "object": "vector_store.file.deleted", "deleted": True})


@router.post("/v1/vector_stores/{library_id}/file_batches")
async def add_files(request: Request, library_id: str) -> Response:
    """Start reading several files into a library."""
    body, (core, library) = await read_json(request), _find_library(request, library_id)
    file_ids = [str(file_id) for file_id in body.require("file_ids", list)]
    core.libraries.add_uploads(library, file_ids)
    return reply_json(
        {
            "id": make_id("vsfb_"),
            "object": "vector_store.file_batch",
            "created_at": library.last_used,
            "vector_store_id": library.id,
            "status": library.status,
            "file_counts": library.count_files(),
        }
    )


@router.post("/v1/vector_stores/{library_id}/search")
async def search_library(request: Request, library_id: str) -> Response:
    """Return the pages that fit a query best."""
    body, (core, library) = await read_json(request), _find_library(request, library_id)
    query = _read_query(body)
    count = body.read("max_num_results", int, 10) or 0
    if not 1 <= count <= 50:
        message = f"max_num_results must lie in [1, 50], got {count}"
        raise ApiError(400, message, param="max_num_results")
    found = await core.find_pages(library, query, count)
    target = Target(f"pace/{library.id}", get_namespace(request), library)
    writer = CitationWriter(core, target, str(request.base_url))
    data = [
        {
            "file_id": (described := writer.describe(citation))["file_id"],
            "filename": name_source(citation),
            "score": citation.score,
            "attributes": {"page": citation.page, "page_label": citation.page_label or ""},
            "content": [{"type": "text", "text": citation.quote}],
            "pace": described,
        }
        for citation in found
    ]
    return reply_json(
        {
            "object": "vector_store.search_results.page",
            "search_query": [query],
            "data": data,
            "has_more": False,
            "next_page": None,
        }
    )


def _read_query(body: Body) -> str:
    query = body.get("query")
    if isinstance(query, list) and all(isinstance(part, str) for part in query):
        query = " ".join(query)
    if not isinstance(query, str) or not query.strip():
        raise ApiError(400, "query must be a text that is not empty", param="query")
    return query
