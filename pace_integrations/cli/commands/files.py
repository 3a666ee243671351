"""``pace files``: what becomes of every file, without a model."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.table import Table

from pace_integrations.cli.arguments import Json, Paths
from pace_integrations.cli.options import open_corpus
from pace_integrations.cli.output import Output, report_errors, to_printable
from pace_integrations.documents import NothingReadError, Report
from pace_integrations.documents.options import ReadLimits, ReadOptions

Password = Annotated[
    str | None, typer.Option(envvar="PACE_PASSWORD", help="Password of encrypted files.")
]
Ocr = Annotated[
    str | None,
    typer.Option(help="Recognise scanned pages with Tesseract, in languages such as eng+deu."),
]
Engine = Annotated[str, typer.Option("--pdf", help="Parser of PDF files: pypdf or pdfium.")]
Include = Annotated[
    list[str] | None, typer.Option(help="Glob of files to take from folders; repeat it.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Glob of files and folders to pass over; repeat it.")
]
Hidden = Annotated[bool, typer.Option("--hidden", help="Take hidden files too.")]
Drop = Annotated[bool, typer.Option("--drop-duplicates", help="Read what is there twice once.")]
TimeLimit = Annotated[float, typer.Option(help="Most seconds for one file; OCR needs more.")]


def files(
    paths: Paths,
    json: Json = False,
    password: Password = None,
    ocr: Ocr = None,
    pdf: Engine = "pypdf",
    include: Include = None,
    exclude: Exclude = None,
    hidden: Hidden = False,
    drop: Drop = False,
    time_limit: TimeLimit = 300.0,
) -> None:
    """Show what can be read of files, and what to do about the rest."""
    output = Output(json=json)
    with report_errors(output):
        options = read_options(password, ocr, pdf, include, exclude, hidden, drop, time_limit)
        try:
            report = open_corpus(paths, output, options, quiet=True).report
        except NothingReadError as error:
            report = error.report
        output.show_tables([make_report_table(report)], report.to_dict())


def read_options(
    password: str | None = None,
    ocr: str | None = None,
    pdf: str = "pypdf",
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    hidden: bool = False,
    drop: bool = False,
    seconds: float = 300.0,
) -> ReadOptions:
    """The options of the reading that the command line's stand for.

    Raises:
        ConfigError: One is outside its range.
    """
    engine: Any = pdf
    return ReadOptions(
        limits=ReadLimits(seconds=seconds),
        pdf=engine,
        password=password,
        ocr=ocr,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        hidden=hidden,
        drop_duplicates=drop,
    )


def _common_folder(report: Report) -> str | None:
    """The folder that all files are in, where there are several; their names are then short."""
    folders = {os.path.dirname(os.path.abspath(file.path)) for file in report.files}  # noqa: PTH100, PTH120
    try:
        return os.path.commonpath(folders) if len(report.files) > 1 else None
    except ValueError:  # on different drives
        return None


def make_report_table(report: Report) -> Table:
    """The report as a table."""
    folder = _common_folder(report)
    table = Table(show_edge=False, pad_edge=False, box=None, title=folder, title_justify="left")
    for title in ("file", "status", "pages", "words", "seconds", "what to know"):
        right = title in ("pages", "words", "seconds")
        table.add_column(title, overflow="fold", justify="right" if right else "left")
    for file in report.files:
        pages = f"{file.pages_with_text}/{file.pages}"
        same = f"the same as {file.duplicate_of}" if file.duplicate_of else ""
        again = f"{file.duplicate_pages} pages stand elsewhere too" if file.duplicate_pages else ""
        words = "\n".join(part for part in (file.remedy, *file.on_pages, same, again) if part)
        name = os.path.relpath(file.path, folder) if folder else file.path
        cells = (name, file.status, pages, str(file.words), f"{file.seconds:.2f}", words)
        table.add_row(*(to_printable(cell) for cell in cells))
    return table
