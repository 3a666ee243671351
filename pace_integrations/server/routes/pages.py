"""``/pages``: a page of a library with the quote highlighted, where citations lead."""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from pace_integrations.server.bodies import dump_json
from pace_integrations.server.errors import ApiError, not_found
from pace_integrations.server.page_pictures import can_draw, draw_page
from pace_integrations.server.routes.common import get_core, get_namespace
from pace_integrations.session.citations import Passage

router = APIRouter()
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'"
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;
max-width:52rem;padding:0 1rem}pre{white-space:pre-wrap;font:inherit}
mark{background:#ffe24d;color:#000}
img{max-width:100%;height:auto;border:1px solid #8888}h1{font-size:1.2rem}
"""


@router.get("/pages/{library_id}/{number}")
async def show_page(request: Request, library_id: str, number: int) -> Response:
    """Return a page: as a picture, as data, or as a page for browsers, as `format` says."""
    passage = await _find_passage(request, library_id, number)
    start, end = _read_span(request, len(passage.page.text))
    kind = request.query_params.get("format", "html")
    if kind == "json":
        return _write_json(passage, start, end)
    source = passage.document.source
    drawable = source is not None and can_draw(Path(source))
    if kind == "png":
        if source is None or not drawable:
            raise ApiError(415, "this page has no picture; ask for its text", code="no_picture")
        drawing = asyncio.to_thread(draw_page, Path(source), passage.page, (start, end))
        return Response(await drawing, media_type="image/png", headers=_HEADERS)
    picture = str(request.url.include_query_params(format="png")) if drawable else None
    return Response(_write_html(passage, start, end, picture), 200, _HEADERS, "text/html")


async def _find_passage(request: Request, library_id: str, number: int) -> Passage:
    library = get_core(request).libraries.get(get_namespace(request), library_id)
    backend = await library.wait_until_open()
    passages = await asyncio.to_thread(lambda: backend.passages)
    found = next((p for p in passages if p.number == number), None)
    if found is None:
        raise not_found("page", f"{library_id}/{number}")
    return found


def _read_span(request: Request, length: int) -> tuple[int, int]:
    query = request.query_params
    try:
        start, end = int(query.get("start", "0")), int(query.get("end", "0"))
    except ValueError:
        raise ApiError(400, "start and end must be integers", param="start") from None
    start = min(max(start, 0), length)
    return start, min(max(end, start), length)


def _write_json(passage: Passage, start: int, end: int) -> Response:
    value: dict[str, Any] = {
        "object": "page",
        "number": passage.number,
        "document": passage.document.title,
        "page": passage.page.index,
        "page_label": passage.page.label,
        "text": passage.page.text,
        "span": [start, end],
    }
    return Response(dump_json(value), 200, _HEADERS, "application/json")


def _write_html(passage: Passage, start: int, end: int, picture: str | None) -> bytes:
    text, page = passage.page.text, passage.page
    title = f"{passage.document.title}, page {page.label or page.index}"
    mark = f'<mark id="quote">{escape(text[start:end])}</mark>' if end > start else ""
    body = f"{escape(text[:start])}{mark}{escape(text[end:])}"
    image = ""
    if picture:
        image = f'<p><img src="{escape(picture, quote=True)}" alt="Picture of {escape(title)}"></p>'
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{image}"
        f"<pre>{body}</pre></body></html>"
    )
    return html.encode("utf-8", "replace")
