"""``/``: the page for people, one file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib import resources

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

router = APIRouter()


@lru_cache(1)
def load_page() -> tuple[bytes, dict[str, str]]:
    """Return the page and the headers by which browsers run nothing but what stands in it."""
    file = resources.files("pace_integrations.server") / "page" / "index.html"
    html = file.read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash_element(html, 'script')}; "
        f"style-src {_hash_element(html, 'style')}; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return html.encode(), headers


def _hash_element(html: str, tag: str) -> str:
    (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"


@router.get("/")
async def show_start_page(request: Request) -> Response:
    """Return the page."""
    html, headers = load_page()
    return Response(html, 200, headers, "text/html")


@router.get("/favicon.ico")
async def show_no_icon(request: Request) -> Response:
    """Return nothing: browsers ask for an icon."""
    return Response(status_code=204)
