"""``pace files``: what becomes of every file, without a model."""

from __future__ import annotations

import os

from rich.table import Table

from pace_integrations.cli.opening import open_corpus
from pace_integrations.cli.options import FileOptions, Json, Paths, expand_groups
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.cli.spelling import to_shell_words
from pace_integrations.cli.texts import to_line, to_printable
from pace_integrations.documents import NothingReadError, Report


@expand_groups
def files(paths: Paths, files: FileOptions, json: Json = False) -> None:
    """Show what can be read of files, and what to do about the rest."""
    output = Output(json=json)
    with report_errors(output):
        try:
            report = open_corpus(paths, output, files.make_options(), quiet=True).report
        except NothingReadError as error:
            report = error.report
        output.show_tables([make_report_table(report)], report.to_dict())


def _common_folder(report: Report) -> str | None:
    """Return the folder that several files share; their names are then short."""
    folders = {os.path.dirname(os.path.abspath(file.path)) for file in report.files}  # noqa: PTH100, PTH120
    try:
        return os.path.commonpath(folders) if len(report.files) > 1 else None
    except ValueError:  # on different drives
        return None


def make_report_table(report: Report) -> Table:
    """Return the report as a table."""
    folder = _common_folder(report)
    title = to_line(folder) if folder else None
    table = Table(show_edge=False, pad_edge=False, box=None, title=title, title_justify="left")
    for head in ("file", "status", "pages", "words", "seconds", "what to know"):
        right = head in ("pages", "words", "seconds")
        table.add_column(head, overflow="fold", justify="right" if right else "left")
    for file in report.files:
        pages = f"{file.pages_with_text}/{file.pages}"
        same = f"the same as {file.duplicate_of}" if file.duplicate_of else ""
        again = f"{file.duplicate_pages} pages stand elsewhere too" if file.duplicate_pages else ""
        remedy = to_shell_words(file.remedy or "")
        words = "\n".join(part for part in (remedy, *file.reasons, same, again) if part)
        name = to_line(os.path.relpath(file.path, folder) if folder else file.path)
        cells = (name, file.status, pages, str(file.words), f"{file.seconds:.2f}", words)
        table.add_row(*(to_printable(cell) for cell in cells))
    if report.skipped:
        table.caption = f"{report.skipped} files that desktops leave in folders were skipped"
    return table
