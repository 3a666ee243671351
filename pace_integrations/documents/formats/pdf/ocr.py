"""Reads pages that are pictures with Tesseract, where a user asks for it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pace_integrations.documents.formats.pdf.metadata import Inventory, OpenPdf, is_stamped
from pace_integrations.documents.formats.running_lines import Line
from pace_integrations.errors import DocumentError, MissingExtraError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_DOTS_PER_INCH = 300
_MAX_PIXELS = 25_000_000


def require_ocr(languages: str) -> None:
    """Check that pages can be recognized.

    Raises:
        MissingExtraError: The ``ocr`` extra is not installed.
        DocumentError: Tesseract, or its data for a language, is not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("pytesseract", "pypdfium2", "PIL")):
        raise MissingExtraError("OCR", "ocr")
    program = shutil.which("tesseract")
    if program is None:
        raise DocumentError(
            "OCR needs the program tesseract; install it (tesseract-ocr) or add it to PATH"
        )
    listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, check=False)
    known = listed.stdout.split("\n")[1:]  # after a heading
    for language in languages.split("+"):
        if language not in known:
            raise DocumentError(
                f"tesseract has no data for the language {language!r}; install it "
                f"(tesseract-ocr-{language}); there are {' '.join(known)}"
            )


@dataclass(frozen=True, slots=True)
class WithOcr:
    """An open PDF whose pages without text are recognized from their pictures.

    Attributes:
        file: The file as its parser opened it.
        pictures: The same file, to render pages from.
        languages: Tesseract's names of the languages, such as ``"eng+deu"``.
        seconds: Seconds for all pages together.
        recognized: Pages that were recognized so far.
    """

    file: OpenPdf
    pictures: PdfDocument
    languages: str
    seconds: float
    recognized: list[int] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)

    @property
    def count(self) -> int:
        """Number of pages."""
        return self.file.count

    def lines(self, index: int) -> list[Line]:
        """Return the page's lines; recognized ones where it has none of its own, or but a stamp."""
        lines = self.file.lines(index)
        own = "".join(line.text for line in lines).strip()
        if own and not is_stamped(self.file, index, lines):
            return lines
        left = self.seconds - (time.monotonic() - self.start)
        text = self._recognize(index, max(1.0, left))
        if len(text.strip()) <= len(own):
            return lines
        self.recognized.append(index)
        return [Line(line) for line in text.split("\n")]

    def has_picture(self, index: int) -> bool:
        """Tell whether the page is still a picture that nobody has read."""
        return index not in self.recognized and self.file.has_picture(index)

    def _recognize(self, index: int, seconds: float) -> str:
        import pytesseract

        with closing(self.pictures[index - 1]) as page:
            width, height = page.get_size()
            scale = min(_DOTS_PER_INCH / 72, (_MAX_PIXELS / max(1.0, width * height)) ** 0.5)
            picture = page.render(scale=scale, grayscale=True).to_pil()
        return str(pytesseract.image_to_string(picture, lang=self.languages, timeout=seconds))

    def is_blank(self, index: int) -> bool:
        """Tell whether a page without text draws nothing at all."""
        return self.file.is_blank(index)

    def notes(self, index: int) -> list[Line]:
        """Return the words that people wrote on a page."""
        return self.file.notes(index)

    def attached(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and bytes of the files in the file."""
        return self.file.attached()

    def xfa_packets(self) -> dict[str, bytes]:
        """Return the packets of an XFA form by their names."""
        return self.file.xfa_packets()

    def inventory(self) -> Inventory:
        """Return what the file holds beside the text of its pages."""
        return self.file.inventory()

    def labels(self) -> list[str]:
        """Return the labels of the file."""
        return self.file.labels()

    def metadata(self) -> Mapping[str, object]:
        """Return the metadata of the file."""
        return self.file.metadata()

    def outline(self) -> list[tuple[str, int]]:
        """Return the outline of the file."""
        return self.file.outline()
