"""The passages of a library under their pages' numbers, as selectors and the model see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from pace_integrations.documents import Document, Page
from pace_integrations.library.catalog import HeldDocument
from pace_integrations.library.passages import TextPassage, split_page


@dataclass(frozen=True, slots=True)
class Block:
    """A unit that is read by itself: a passage of a page, or a whole one.

    Attributes:
        key: Hash of the model and of all that it reads.
        held: The document's key in the library.
        number: The page's number in the library.
        document: The document.
        page: The page.
        passage: The passage of it.
    """

    key: str
    held: str
    number: int
    document: Document
    page: Page
    passage: TextPassage

    @property
    def words(self) -> str:
        """The text that a search looks through."""
        return f"{self.document.title}\n{self.passage.text}"

    def narrowed_page(self) -> Page:
        """Return the page as if it held nothing but the passage's own words."""
        text = self.page.text[self.passage.start : self.passage.end]
        return replace(self.page, text=text)


def divide_document(held: HeldDocument, model: str, size: int | None) -> list[Block]:
    """Divide the pages of one document.

    Args:
        held: The document.
        model: Key of the model and of how it reads.
        size: About how many characters a passage has; None leaves pages whole.
    """
    return [
        Block(
            _block_key(model, number, held.document.title, page.label, passage.text),
            held.key,
            number,
            held.document,
            page,
            passage,
        )
        for number, page in held.numbered_pages()
        for passage in split_page(page.text, page.section, size)
    ]


def _block_key(model: str, number: int, title: str, label: str | None, text: str) -> str:
    parts = json.dumps([model, number, title, label, text])
    return hashlib.sha256(parts.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class SearchView:
    """The passages that a selector may look at.

    Attributes:
        blocks: The passages of the library.
        count_tokens: Tokens of a passage.
        vectors: A passage's index vectors, int8 ``(tokens, heads, size)``, or None where the
            model has not read it.
        query_vectors: Vectors of a question ``(tokens, heads, size)``, of unit length.
    """

    blocks: Sequence[Block]
    count_tokens: Callable[[Block], int]
    vectors: Callable[[Block], Tensor | None]
    query_vectors: Callable[[str], Tensor]
