"""What a framework's document says of itself, kept with the page that it became.

It is saved with a session, so that cited pages are given back as their owner knows them, also by a
process that never saw the documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pace_integrations._text import repair_text
from pace_integrations.documents import Page

_ORIGIN = "_origin"


@dataclass(frozen=True, slots=True)
class PageOrigin:
    """The document or node that a page was.

    Attributes:
        metadata: Its metadata.
        id: Its id; None where it was a whole document, or had none.
        document_id: Id of the document that it was, or was a part of, or None.
    """

    metadata: Mapping[str, Any]
    id: str | None = None
    document_id: str | None = None


def describe_origin(
    metadata: Mapping[Any, Any], *, id: str | None = None, document_id: str | None = None
) -> dict[str, Any]:
    """Return what is kept of a document or node in `Page.metadata`, as JSON gives it back."""
    plain = {str(name): _to_plain(value) for name, value in metadata.items()}
    return {**plain, _ORIGIN: {"id": id, "document_id": document_id}}


def find_origin(page: Page) -> PageOrigin | None:
    """Return what a page was, or None for one that was read from a file."""
    if not isinstance(ids := page.metadata.get(_ORIGIN), Mapping):
        return None
    given = {name: value for name, value in page.metadata.items() if name != _ORIGIN}
    own, whole = (i if isinstance(i, str) else None for i in map(ids.get, ("id", "document_id")))
    return PageOrigin(given, own, whole)


def _to_plain(value: Any) -> Any:  # noqa: ANN401 - whatever a user keeps there
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):  # circles, keys that are no words
        text = json.dumps(str(value), ensure_ascii=False)
    return json.loads(repair_text(text))
