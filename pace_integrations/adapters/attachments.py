"""Files that are attached to messages, as text. Nothing is downloaded."""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
from mimetypes import guess_extension
from pathlib import Path

from pace_integrations.adapters.lru import LruCache
from pace_integrations.documents import Corpus
from pace_integrations.errors import QuestionError

# A file that comes again in the next turn is not read again.
_TEXTS: LruCache[tuple[str, str], str] = LruCache(32)


def decode_base64(data: str | bytes) -> bytes:
    """Return the bytes of an attached file.

    Raises:
        QuestionError: They are not valid base64.
    """
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise QuestionError(f"an attached file is not valid base64: {error}") from error


def read_attachment(content: bytes, media_type: str | None, name: str | None) -> str:
    """Return a file's text page by page, each under its title and label.

    Args:
        content: The file.
        media_type: Its type, where its name does not tell.
        name: Its name, or None.

    Raises:
        DocumentError: The file cannot be read.
    """
    file = Path(name or "attachment").name
    if not Path(file).suffix:
        file += guess_extension(media_type or "application/pdf") or ".pdf"
    key = (hashlib.sha256(content).hexdigest(), file)
    return _TEXTS.get_or_create(key, lambda: _read_pages(content, file))


def _read_pages(content: bytes, file: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file)
        path.write_bytes(content)
        corpus = Corpus.from_paths(path)
    return "".join(
        f"[{document.title}{f', page {page.label}' if page.label else ''}]\n{page.text}\n\n"
        for document, page in corpus.pages()
    )
