"""``/v1/files``: documents that clients send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from fastapi import APIRouter
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from pace_integrations.server.errors import ApiError
from pace_integrations.server.routes.common import (
    get_core,
    get_namespace,
    reply_json,
    reply_list,
)

router = APIRouter()
_FORM_ROOM = 64 * 1024  # bytes of a form beside the file in it


@router.post("/v1/files")
async def upload_file(request: Request) -> Response:
    """Keep a file that a form carries."""
    core = get_core(request)
    form_limit = core.settings.max_upload + _FORM_ROOM
    length = request.headers.get("content-length", "0")
    # Refused before it is received: that is what the limit is for.
    if not length.isdecimal() or int(length) > form_limit:
        core.uploads.check_size(int(length) if length.isdecimal() else form_limit)
        raise ApiError(413, f"the form is longer than {form_limit} bytes", code="file_too_large")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(415, "send the file as multipart/form-data", code="unsupported_media_type")

    async def read_bounded() -> AsyncGenerator[bytes]:
        size = 0
        async for part in request.stream():
            size += len(part)
            core.uploads.check_size(size - _FORM_ROOM)
            yield part

    try:
        form = await MultiPartParser(request.headers, read_bounded(), max_files=1).parse()
    except (MultiPartException, FormParserError, KeyError) as error:
        raise ApiError(400, f"the form cannot be read: {error}", code="invalid_form") from None
    try:
        file, purpose = form.get("file"), form.get("purpose", "assistants")
        if not isinstance(file, UploadFile):
            raise ApiError(400, "the form has no file named 'file'", param="file")
        data = await file.read()
    finally:
        await form.close()
    namespace = get_namespace(request)
    upload = await asyncio.to_thread(core.uploads.add, namespace, file.filename, data, str(purpose))
    return reply_json(upload.to_dict())


@router.get("/v1/files")
async def list_files(request: Request) -> Response:
    """Return the files of this namespace."""
    listed = get_core(request).uploads.list_visible
    uploads = await asyncio.to_thread(listed, get_namespace(request))
    return reply_list(request, [upload.to_dict() for upload in uploads])


@router.get("/v1/files/{file_id}")
async def get_file(request: Request, file_id: str) -> Response:
    """Return what is known of a file."""
    return reply_json(get_core(request).uploads.get(get_namespace(request), file_id).to_dict())


@router.get("/v1/files/{file_id}/content")
async def read_file(request: Request, file_id: str) -> Response:
    """Return the bytes of a file, never to be shown as a page of this server."""
    path = get_core(request).uploads.find_path(get_namespace(request), file_id)
    headers = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
    return FileResponse(
        path, media_type="application/octet-stream", filename=path.name, headers=headers
    )


@router.delete("/v1/files/{file_id}")
async def delete_file(request: Request, file_id: str) -> Response:
    """Remove a file; libraries that have read it keep what they have read."""
    core, namespace = get_core(request), get_namespace(request)
    await asyncio.to_thread(core.uploads.remove, namespace, file_id)
    return reply_json({"id": file_id, "object": "file", "deleted": True})
