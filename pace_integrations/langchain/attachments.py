"""Files that are attached to messages, as text. Nothing is downloaded."""

from __future__ import annotations

import base64
import binascii
import tempfile
from functools import lru_cache
from mimetypes import guess_extension
from pathlib import Path
from typing import Any

from pace_integrations.documents import Corpus
from pace_integrations.errors import QuestionError


def file_text(part: dict[str, Any]) -> str:
    """Text of a file part, page by page.

    Args:
        part: LangChain's standard block, or that of OpenAI's or Anthropic's interface.

    Raises:
        QuestionError: It gives an address or an id instead of the file, or is malformed.
        DocumentError: The file cannot be read.
    """
    if "text" in part:
        return f"{part['text']}\n\n"
    data, kind = _encoded(part)
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise QuestionError(f"an attached file is not valid base64: {error}") from error
    return _read(content, kind, _name(part))


def _encoded(part: dict[str, Any]) -> tuple[str, str]:
    """The file in base64, and its media type."""
    source = part.get("source") or part.get("file") or part
    data = next((source[k] for k in ("base64", "data", "file_data") if source.get(k)), None)
    if not isinstance(data, str):
        raise QuestionError(
            "an attached file must come as base64; addresses and ids are not followed, so load "
            "the file first (paths= reads files and folders)"
        )
    kind = str(source.get("mime_type") or source.get("media_type") or "application/pdf")
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        kind = head.removeprefix("data:").partition(";")[0] or kind
    return data, kind


def _name(part: dict[str, Any]) -> str:
    inner = part.get("file") or {}
    names = (inner.get("filename"), part.get("filename"), part.get("title"), part.get("name"))
    return next((Path(str(name)).name for name in names if name), "attachment")


@lru_cache(maxsize=32)
def _read(content: bytes, kind: str, name: str) -> str:
    """The file's text; one that comes again in the next turn is not read again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        if not path.suffix:
            path = path.with_suffix(guess_extension(kind) or ".pdf")
        path.write_bytes(content)
        corpus = Corpus.from_paths(path)
    pages = (
        f"[{document.title}{f', page {page.label}' if page.label else ''}]\n{page.text}\n\n"
        for document, page in corpus.pages()
    )
    return "".join(pages)
