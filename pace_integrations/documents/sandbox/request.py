"""What a worker is asked for, as it crosses the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pace_integrations.documents.options import PdfEngine, ReadLimits, ReadOptions


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked for.

    Attributes:
        path: The file.
        limits: The most that the file may cost.
        pdf: Parser of PDF files.
        password: Password to try, or None.
        ocr: Languages in which pages without text are recognized, or None.
        marks: Quotes to find instead of reading: page, words, occurrence and note of each.
        target: File for a copy with the quotes highlighted, or "".
    """

    path: str
    limits: ReadLimits = field(default_factory=ReadLimits)
    pdf: PdfEngine = "pdfium"
    password: str | None = None
    ocr: str | None = None
    marks: tuple[tuple[int, str, int, str], ...] = ()
    target: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """Return the request that `dataclasses.asdict` took apart."""
        limits, marks = ReadLimits(**values["limits"]), tuple(map(tuple, values["marks"]))
        return cls(**{**values, "limits": limits, "marks": marks})

    @property
    def options(self) -> ReadOptions:
        """The options that concern the parsing of one file."""
        return ReadOptions(self.limits, self.pdf, ocr=self.ocr)
