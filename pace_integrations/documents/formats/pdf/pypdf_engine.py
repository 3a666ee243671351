"""Reads PDF files with pypdf."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

from pypdf import PageObject, PasswordType, PdfReader
from pypdf.generic import DictionaryObject, StreamObject

from pace_integrations.documents.formats.pdf.fragments import Fragment, build_fragment_lines
from pace_integrations.documents.formats.pdf.metadata import SCAN, Inventory
from pace_integrations.documents.formats.pdf.pypdf_fonts import (
    forget_visible_spaces,
    prefer_named_encodings,
)
from pace_integrations.documents.formats.pdf.vertical import join_single_lines
from pace_integrations.documents.formats.running_lines import Line
from pace_integrations.documents.types import Status

_PAINTS = re.compile(rb"(?<![\w/])(Do|Tj|TJ|f\*?|F|S|B\*?|sh|EI|'|\")(?!\w)")

Matrix: TypeAlias = Sequence[float]


@dataclass(frozen=True, slots=True)
class PypdfFile:
    """A file opened by pypdf; every method may raise anything."""

    reader: PdfReader

    @property
    def count(self) -> int:
        """Number of pages."""
        return len(self.reader.pages)

    def lines(self, index: int) -> list[Line]:
        """Return the lines of the page with a 1-based index."""
        with _forget_streams(self.reader.resolved_objects):
            page = self.reader.pages[index - 1]
            with suppress(Exception):  # odd resources may still be good enough for pypdf
                prefer_named_encodings(page)
                forget_visible_spaces(page)
            return join_single_lines(build_fragment_lines(_find_fragments(page)))

    def has_picture(self, index: int) -> bool:
        """Tell whether a page has a picture as large as a scan."""
        with _forget_streams(self.reader.resolved_objects):
            resources: Any = self.reader.pages[index - 1]["/Resources"].get_object()
            objects = [entry.get_object() for entry in resources["/XObject"].get_object().values()]
            images = [entry for entry in objects if entry.get("/Subtype") == "/Image"]
            return any(int(image["/Width"]) * int(image["/Height"]) >= SCAN for image in images)

    def is_blank(self, index: int) -> bool:
        """Tell whether a page without text draws nothing at all."""
        with _forget_streams(self.reader.resolved_objects):
            content = self.reader.pages[index - 1].get_contents()
            return content is None or not _PAINTS.search(content.get_data())

    def labels(self) -> list[str]:
        """Return the labels that the file defines, or none."""
        return self.reader.page_labels if "/PageLabels" in self.reader.root_object else []

    def outline(self) -> list[tuple[str, int]]:
        """Return the headings of the outline and the pages that they lead to."""
        return list(_walk_outline(self.reader, self.reader.outline))

    def inventory(self) -> Inventory:
        """Return what the file holds beside the text of its pages."""
        root = self.reader.root_object
        form = root.get("/AcroForm")
        is_xfa = form is not None and "/XFA" in form.get_object()
        return Inventory(list(self.reader.attachments), "/Collection" in root, is_xfa)

    def attached(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and bytes of the files in the file."""
        for name, versions in self.reader.attachments.items():
            yield from ((name, data) for data in versions)

    def xfa_packets(self) -> dict[str, bytes]:
        """Return the packets of an XFA form by their names."""
        form: Any = self.reader.root_object["/AcroForm"].get_object()
        packets: Any = form["/XFA"].get_object()
        streams = packets if isinstance(packets, list) else [packets]
        found = (entry.get_object() for entry in streams)
        data = [entry.get_data() for entry in found if isinstance(entry, StreamObject)]
        return {str(number): part for number, part in enumerate(data)}

    def notes(self, index: int) -> list[Line]:
        """Return the words that people wrote on a page: typed annotations, fields of a form."""
        with _forget_streams(self.reader.resolved_objects):
            annotations = self.reader.pages[index - 1].annotations or ()
            found = (_read_annotation(entry.get_object()) for entry in annotations)
            return [Line(text) for text in dict.fromkeys(found) if text]

    def metadata(self) -> Mapping[str, object]:
        """Return the document information dictionary."""
        return self.reader.metadata or {}


def _read_annotation(annotation: DictionaryObject) -> str:
    """Return what an annotation says, or ""."""
    kind = annotation.get("/Subtype")
    if kind == "/Widget":
        parent = annotation.get("/Parent", annotation).get_object()
        value, name = (annotation.get(key, parent.get(key)) for key in ("/V", "/T"))
        shown = " ".join(str(value or "").split()).removeprefix("/")
        return f"[Field {name}: {shown}]" if shown and shown != "Off" else ""
    text = " ".join(str(annotation.get("/Contents") or "").split())
    return f"[Note: {text}]" if text and kind not in ("/Link", "/Popup") else ""


def _walk_outline(reader: PdfReader, entries: Sequence[Any]) -> Iterator[tuple[str, int]]:
    """Yield the outline's headings in their order; nested lists are the levels below."""
    for entry in entries:
        if isinstance(entry, list):
            yield from _walk_outline(reader, entry)
            continue
        with suppress(Exception):  # a heading that leads nowhere
            number = reader.get_destination_page_number(entry)
            if number is not None and number >= 0:
                yield str(entry.title), number + 1


@contextmanager
def _forget_streams(objects: MutableMapping[Any, Any]) -> Iterator[None]:
    """Let pypdf forget the streams of a page, which it would keep until the last page.

    Other objects, such as fonts, stay for the pages to come.
    """
    before = len(objects)
    try:
        yield
    finally:
        added = [objects.popitem() for _ in range(len(objects) - before)]
        kept = [(key, value) for key, value in added if not isinstance(value, StreamObject)]
        objects.update(reversed(kept))


def _find_fragments(page: PageObject) -> list[Fragment]:
    """Return the pieces of a page's text in pypdf's order, with its line ends."""
    found: list[Fragment] = []
    box, turns = page.mediabox, page.rotation // 90 % 4
    height = float(box.width if turns % 2 else box.height) or 1.0

    def visit(text: str, cm: Matrix, tm: Matrix, font: object, size: float) -> None:
        if text:
            x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
            y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
            left, right = x - float(box.left), float(box.right) - x
            below, above = y - float(box.bottom), float(box.top) - y
            # Distances from the left and the upper edge of the page as it is shown.
            start, top = ((left, above), (below, left), (right, below), (above, right))[turns]
            letters = abs(size * (tm[3] or tm[1]) * (cm[3] or cm[1])) / height
            found.append(Fragment(text, top / height, letters, start / height))

    page.extract_text(visitor_text=visit)
    return found


def open_pypdf(data: bytes, password: str | None) -> PypdfFile | Status:
    """Open a file, or return the status that it has instead of pages."""
    reader = PdfReader(BytesIO(data), strict=False)
    if reader.is_encrypted and not _decrypt(reader, password):
        return "encrypted"
    if len(reader.pages) == 0:
        return "empty" if _has_empty_tree(reader) else "corrupt"
    return PypdfFile(reader)


def _decrypt(reader: PdfReader, password: str | None) -> bool:
    tries = ("",) if password is None else ("", password)
    return any(reader.decrypt(text) != PasswordType.NOT_DECRYPTED for text in tries)


def _has_empty_tree(reader: PdfReader) -> bool:
    """Tell a file that was made without pages from one whose pages cannot be found."""
    tree = reader.root_object["/Pages"].get_object()
    return isinstance(tree, DictionaryObject) and not (tree.get("/Kids") or tree.get("/Count"))
