"""A framework's retriever chooses the pages of a library: by what its documents say of themselves.

A document belongs to the page that its metadata names, by its number in the library (``passage``),
or by its file or title and the page in it. Others are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pace_integrations.library import SearchView, Selector
    from pace_integrations.library.config import SelectorMaker

Metadata = Mapping[str, Any]

# Where readers of several frameworks keep the document and the page, the surest first.
_PLACES = ("source", "file_path", "document_id", "title", "file_name")


def select_by_metadata(
    retrieve: Callable[[str], Iterable[Metadata]], name: str, *, first_page: int
) -> SelectorMaker:
    """Return what makes a selector of a retriever.

    Args:
        retrieve: Gives the metadata of what fits a question, the best first.
        name: Name to give in answers.
        first_page: How the framework counts pages under ``page``: from 0 or from 1.
    """
    from pace_integrations.library import PagesSelector

    def make(view: SearchView) -> Selector:
        numbers: dict[tuple[str, int | str], int] = {}
        for block in view.blocks:
            document, page = block.document, block.page
            for place in (document.source, document.title, document.id):
                if place:
                    numbers.setdefault((place, page.index), block.number)
                    if page.label is not None:
                        numbers.setdefault((place, page.label), block.number)

        def find(question: str) -> Sequence[int]:
            found = (_find_number(each, numbers, first_page) for each in retrieve(question))
            return [number for number in found if number is not None]

        return PagesSelector(view, find, name)

    return make


def _find_number(
    metadata: Metadata, numbers: Mapping[tuple[str, int | str], int], first_page: int
) -> int | None:
    if isinstance(metadata.get("passage"), int):
        return int(metadata["passage"])
    pages = _find_pages(metadata, first_page)
    places = [str(metadata[name]) for name in _PLACES if metadata.get(name)]
    keys = ((place, page) for place in places for page in pages)
    return next((numbers[key] for key in keys if key in numbers), None)


def _find_pages(metadata: Metadata, first_page: int) -> list[int | str]:
    """Return the page that metadata name, as index from 1 or as label, the surest first."""
    pages: list[int | str] = []
    if isinstance(index := metadata.get("page_index"), int):
        pages.append(index)
    if isinstance(page := metadata.get("page"), int):
        pages.append(page + 1 - first_page)
    if label := metadata.get("page_label"):
        pages += [str(label), *([int(label)] if str(label).isdecimal() else [])]
    return pages or [1]
