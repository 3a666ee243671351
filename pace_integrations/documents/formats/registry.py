"""The table of formats, and what a parser of one is given and gives back.

A format is one row of `FORMATS` and one module with its parser. Nothing else in the package names
a format: kinds are told by the rows' own marks, parsers are loaded by name, and the guide's table
of formats is printed from the rows (``python -m recipes.list_formats``).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pace_integrations.documents.formats.page_assembly import PageRecord
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.types import ParseResult

_HERE = "pace_integrations.documents.formats"


@dataclass(frozen=True, slots=True)
class ParseJob:
    """What a parser needs beside the bytes of one file.

    Attributes:
        emit: Takes a page as soon as it is read, so that it survives whatever comes after.
        report_progress: Takes the number of pages parsed so far and of all pages.
        options: Limits, PDF engine, OCR languages.
        suffix: Lower-case suffix of the file's name, with the dot, or "".
        password: Password to try where the file asks for one, or None.
        depth: How many files it lies within, as an attachment does.
    """

    emit: Callable[[PageRecord], None]
    report_progress: Callable[[int, int], None] = lambda done, total: None
    options: ReadOptions = field(default_factory=ReadOptions)
    suffix: str = ""
    password: str | None = None
    depth: int = 0


class Parser(Protocol):
    """A function that parses one format.

    It may raise anything: the caller reports it, and keeps the pages that were emitted before.
    """

    def __call__(self, data: bytes, job: ParseJob) -> ParseResult:
        """Parse the bytes of one file, emitting its pages in order."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table.

    Attributes:
        name: Its name.
        suffixes: Lower-case suffixes, with the dot; names without a dot are complete file names.
        parser: Module below `formats` and function, ``"docx:parse_docx"``.
        reads: What is read of it, for the guide.
        names_only: Kinds of what is named in the report and not read, in the report's words.
        names_too: The same of what is named and read, since it is not shown or not the text proper.
        magic: Bytes that a file of it begins with.
        member: Member that a zip archive of it has, or the beginning of such a name.
        pattern: What a file of it begins with, where that takes a pattern.
        isolated: Whether its parser is so involved that it runs in a process of its own.
        extra: Extra of this package that its parser needs, or "".
        paged: Whether it has pages of its own.
        example: A small file of it, where that can be written down; tests read it.
    """

    name: str
    suffixes: tuple[str, ...]
    parser: str
    reads: str
    names_only: str = ""
    names_too: str = ""
    magic: tuple[bytes, ...] = ()
    member: str = ""
    pattern: re.Pattern[bytes] | None = None
    isolated: bool = True
    extra: str = ""
    paged: bool = False
    example: bytes = b""

    def load_parser(self) -> Parser:
        """Import the module of the parser and return the parser.

        Raises:
            ModuleNotFoundError: A library that it needs is not installed.
        """
        module, _, name = self.parser.partition(":")
        parser: Parser = getattr(importlib.import_module(f"{_HERE}.{module}"), name)
        return parser


_HTML = re.compile(
    rb"(?><\?xml[^>]*>\s*)?(?>(?:<!--.*?-->\s*)*)<(!doctype\s+html|html[\s>])", re.I | re.S
)
_MAIL = re.compile(
    rb"(?:From |(?:[A-Za-z][\w-]*:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*)*?"
    rb"(?:Return-Path|Received|Message-ID|MIME-Version|DKIM-Signature):)",
    re.I,
)
_NOTEBOOK = re.compile(rb"\{\s*\"(cells|metadata|nbformat)\"\s*:.*?\"(cell_type|nbformat)\"", re.S)
_CODE = """
.py .pyi .js .mjs .cjs .ts .tsx .jsx .java .kt .kts .c .h .cc .cpp .cxx .hpp .cs .go .rs .rb .php
.pl .pm .swift .scala .lua .r .jl .m .mm .sql .sh .bash .zsh .fish .ps1 .bat .cmd .css .scss .less
.vue .svelte .hs .ml .ex .exs .erl .clj .lisp .el .vim .dart .groovy .gradle .cmake .f90 .f .pas
.asm .s .v .vhd .proto .graphql .tf .diff .patch
"""
_DATA = """
.toml .yaml .yml .ini .cfg .conf .env .properties .xml .xsd .xsl .svg .srt .vtt .ics .vcf .bib
"""
_OF_PAGES = "hidden text, navigation, buttons, embedded objects, pictures without a description"

FORMATS: tuple[Format, ...] = (
    Format(
        "pdf",
        (".pdf",),
        "pdf.parser:parse_pdf",
        "text in reading order, tables row by row, form values (XFA too), typed annotations, "
        "attached documents, page labels, outline; with `--ocr` also pictures of text",
        "pages without text, pages with text outside what a viewer shows, pages with text in "
        "hidden layers, form (XFA), embedded media, stamps, attached files",
        "pages with lines that run off the page, pages with white or invisible text, form (XFA), "
        "attached files",
        magic=(b"%PDF-",),
        paged=True,
    ),
    Format(
        "docx",
        (".docx", ".docm", ".dotx", ".dotm"),
        "docx:parse_docx",
        "paragraphs, list numbers, tables (nested ones too), content controls, tracked changes as "
        "accepted, foot- and endnotes, comments, headers and footers once, text boxes, equations, "
        "charts, diagrams, alternative texts of pictures, watermarks",
        "pictures without a description, handwriting, embedded objects, embedded documents, "
        "hidden text, deleted text of tracked changes, headers and footers that no section shows, "
        "symbols of unknown fonts, macros",
        "white text",
        member="word/document",
    ),
    Format(
        "pptx",
        (".pptx", ".pptm", ".potx", ".ppsx"),
        "pptx:parse_pptx",
        "slides: titles, text, list numbers, equations, tables, charts, diagrams, alternative "
        "texts of pictures, speaker notes, comments; the fixed words of layouts once",
        "pictures without a description, handwriting, embedded objects, hidden shapes, damaged "
        "slides, macros",
        "hidden slides",
        member="ppt/presentation",
    ),
    Format(
        "xlsx",
        (".xlsx", ".xlsm", ".xltx", ".xltm"),
        "xlsx:parse_xlsx",
        "sheets by rows, the header row with every slice, values as shown (dates, percent, "
        "units, leading zeros), comments, text boxes, charts, printed headers and footers",
        "formulas without a stored value, pictures without a description, handwriting, embedded "
        "objects, chart sheets, missing sheets, macros",
        "hidden sheets, hidden rows or columns",
        member="xl/workbook",
    ),
    Format(
        "odt",
        (".odt", ".ott", ".ods", ".odp", ".fodt"),
        "odf:parse_odf",
        "paragraphs, numbers of lists and headings, tables, sheets, slides, notes, annotations, "
        "form values, equations, charts, headers and footers once, the fixed words of masters once",
        "pictures without a description, embedded objects, hidden text, deleted text of tracked "
        "changes, macros",
        "hidden sheets, hidden rows or columns",
        member="content.xml",
    ),
    Format(
        "epub",
        (".epub",),
        "epub:parse_epub",
        "chapters in the order of the spine, printed page marks as labels",
        f"chapters outside of the book's order, pages that are pictures, {_OF_PAGES}",
        member="META-INF/container.xml",
    ),
    Format(
        "rtf",
        (".rtf",),
        "rtf:parse_rtf",
        "text, list numbers, tables as rows, fields as shown, notes, comments, headers and "
        "footers once, text boxes",
        "pictures, embedded objects, hidden text, deleted text of tracked changes",
        magic=(b"{\\rtf",),
        example=b"{\\rtf1\\ansi The ferry leaves at six.\\par}",
    ),
    Format(
        "html",
        (".html", ".htm", ".xhtml", ".mht", ".mhtml"),
        "html:parse_html",
        "text as shown, headings as sections, lists with numbers, tables, form values, "
        "descriptions of pictures, equations, powers and footnote marks; what stands behind the "
        "page's end too",
        _OF_PAGES,
        "a guessed encoding",
        pattern=_HTML,
        example=b"<!doctype html><p>The ferry leaves at six.</p>",
    ),
    Format(
        "eml",
        (".eml", ".emlx", ".mbox"),
        "eml:parse_eml",
        "headers, the text of every part, of alternatives the one that says more or both, "
        "invitations, reports of delivery, attached messages and documents; of a mailbox every "
        "message",
        f"attached files, encrypted parts, {_OF_PAGES}",
        "attached files, texts in a guessed encoding",
        pattern=_MAIL,
        example=b"From: a@example.org\nMIME-Version: 1.0\n\nThe ferry leaves at six.\n",
    ),
    Format(
        "ipynb",
        (".ipynb",),
        "notebook:parse_notebook",
        "Markdown, code and raw cells, outputs of text, HTML and LaTeX, errors; of an object that "
        "shows itself what it shows",
        "pictures among the outputs, pictures in cells, outputs that need a program to show them, "
        + _OF_PAGES,
        pattern=_NOTEBOOK,
        example=b'{"nbformat": 4, "cells": [{"cell_type": "raw", "source": ["Leaves at six."]}]}',
    ),
    Format(
        "json",
        (".json", ".jsonl", ".ndjson", ".geojson"),
        "json_text:parse_json",
        "every value with its path, records one by one",
        names_too="a guessed encoding",
        example=b'{"ferry": {"leaves": "at six"}}',
    ),
    Format(
        "csv",
        (".csv", ".tsv", ".tab"),
        "csv_table:parse_csv",
        "rows, the header row with every slice",
        names_too="a guessed encoding",
        example=b"ferry,leaves\nLunde,at six\n",
    ),
    Format(
        "markdown",
        (".md", ".markdown", ".rst", ".tex", ".ltx", ".org", ".adoc", ".typ"),
        "text:parse_markup",
        "the text as it stands, cut at headings where it is long; front matter's title",
        names_too="a guessed encoding",
        isolated=False,
        example=b"# Ferry\n\nIt leaves at six.\n",
    ),
    Format(
        "text",
        (".txt", ".text", ".log", *_CODE.split(), *_DATA.split(), "readme", "license", "makefile"),
        "text:parse_text",
        "the text as it stands; any file whose bytes are text is read so, whatever its name",
        names_too="a guessed encoding",
        isolated=False,
        example=b"The ferry leaves at six.\n",
    ),
)
SUFFIXES = tuple(sorted({s for row in FORMATS for s in row.suffixes if s.startswith(".")}))


def find_format(name: str) -> Format:
    """Return the row of a name.

    Raises:
        KeyError: There is no such format.
    """
    return {row.name: row for row in FORMATS}[name]
