"""``pace library``: documents of any number, each page read once, in a folder or on a store."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pace_integrations.cli.arguments import parse_path, parse_place
from pace_integrations.cli.completion import complete_libraries
from pace_integrations.cli.opening import check_options, load_model, open_corpus
from pace_integrations.cli.options import FileOptions, Json, ModelOptions, Paths, expand_groups
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.cli.texts import format_size, to_printable
from pace_integrations.library.maintenance import (
    DocumentEntry,
    LibraryEntry,
    describe_library,
    remove_from_library,
    wipe_states,
)

if TYPE_CHECKING:
    from pace_integrations.library import Library, LibraryChange

library = typer.Typer(
    name="library",
    help="Libraries: documents of any number, each page read once; ask them with pace ask LIBRARY.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Place = Annotated[
    str,
    typer.Argument(
        metavar="LIBRARY",
        help="Folder of the library, or an address such as s3://bucket/reports.",
        parser=parse_place,
        autocompletion=complete_libraries,
    ),
]
Names = Annotated[list[str], typer.Argument(metavar="NAME", help="Documents by id, title or path.")]
Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="Folder that the library is to be like.", parser=parse_path
    ),
]
Every = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two looks at the files.")
]


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """How a library is changed, and how that is told."""

    later: Annotated[
        bool, typer.Option("--later", help="Keep the text now, and read pages when they are asked.")
    ] = False
    json: Json = False


@library.command("add")
@expand_groups
def add_documents(
    place: Place, paths: Paths, model: ModelOptions, files: FileOptions, how: ChangeOptions
) -> None:
    """Add documents and read their pages; newer versions of files take the place of older ones."""
    output = Output(json=how.json)
    with report_errors(output):
        options = files.make_options()
        check_options(paths, output, model)
        corpus = open_corpus(paths, output, options)
        opened = _open_library(place, output, model)
        with output.track_progress("reading", "tokens") as show:
            change = opened.replace(corpus, progress=show, read=not how.later)
        _show_change(output, change)


@library.command("sync")
@expand_groups
def sync_folder(
    place: Place, folder: Folder, model: ModelOptions, files: FileOptions, how: ChangeOptions
) -> None:
    """Make a library hold what a folder holds; only what is new or changed is opened and read."""
    output = Output(json=how.json)
    with report_errors(output):
        options = files.make_options()
        check_options([folder], output, model)
        opened = _open_library(place, output, model)
        with output.track_progress("reading", "tokens") as show:
            change = opened.sync(folder, options=options, progress=show, read=not how.later)
        _show_change(output, change)


@library.command("watch")
@expand_groups
def watch_folder(
    place: Place,
    folder: Folder,
    model: ModelOptions,
    files: FileOptions,
    how: ChangeOptions,
    every: Every = 2.0,
) -> None:
    """Follow a folder until Ctrl-C: sync at once, and again whenever its files have changed.

    With --json, each change is one line.
    """
    output = Output(json=how.json)
    with report_errors(output):
        options = files.make_options()
        check_options([folder], output, model)
        opened = _open_library(place, output, model)
        changes = opened.watch(folder, interval=every, options=options, read=not how.later)
        with contextlib.suppress(KeyboardInterrupt):  # the usual end
            for change in changes:
                _show_change(output, change)


@library.command("remove")
def remove_documents(place: Place, names: Names, json: Json = False) -> None:
    """Remove documents with all that was read of them; nothing else is read again."""
    output = Output(json=json)
    with report_errors(output):
        _show_change(output, remove_from_library(place, names))


@library.command("list")
def list_documents(place: Place, json: Json = False) -> None:
    """Show the documents of a library and the numbers that their pages are cited by."""
    output = Output(json=json)
    with report_errors(output):
        entry = describe_library(place)
        table = _make_table(entry.documents)
        output.show_tables([table] if entry.documents else [], entry.to_dict())
        output.show_notes([_summarize(entry)])


@library.command("stats")
def show_stats(place: Place, json: Json = False) -> None:
    """Show how much a library holds and takes up."""
    output = Output(json=json)
    with report_errors(output):
        entry = describe_library(place)
        facts: dict[str, Any] = {
            "documents": len(entry.documents),
            "pages": entry.pages,
            "models": entry.models,
            "text_bytes": entry.text_bytes,
            "index_bytes": entry.index_bytes,
            "state_bytes": entry.state_bytes,
        }
        table = Table(show_edge=False, pad_edge=False, box=None, show_header=False)
        for name, value in facts.items():
            shown = format_size(value) if name.endswith("bytes") else str(value)
            table.add_row(name.removesuffix("_bytes"), shown)
        output.show_tables([table], facts)


@library.command("wipe")
def wipe_library(place: Place, json: Json = False) -> None:
    """Remove what models hold of the pages; texts stay, and pages are read again when asked."""
    output = Output(json=json)
    with report_errors(output):
        removed = wipe_states(place)
        output.show_tables([], {"bytes": removed})
        output.show_notes([f"removed {format_size(removed)} of states"])


def _open_library(place: str, output: Output, model: ModelOptions) -> Library:
    from pace_integrations.library import Library

    return Library.open(place, load_model(output, model, memory=None))


def _show_change(output: Output, change: LibraryChange) -> None:
    output.show_report(change.report)
    value = {
        "added": list(change.added),
        "replaced": list(change.replaced),
        "removed": list(change.removed),
        "unchanged": change.unchanged,
        "read": change.read,
        "report": change.report.to_dict(),
    }
    output.show_tables([], value)
    output.show_notes(
        [
            f"{len(change.added)} added, {len(change.replaced)} replaced, "
            f"{len(change.removed)} removed, {change.unchanged} unchanged; "
            f"{change.read} tokens read"
        ]
    )


def _make_table(documents: Sequence[DocumentEntry]) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("numbers", no_wrap=True)
    table.add_column("pages", justify="right")
    table.add_column("document", overflow="fold")
    table.add_column("file", overflow="fold")
    for document in documents:
        first, last = document.numbers
        numbers = f"[{first}]" if first == last else f"[{first}-{last}]"
        cells = (document.title, document.source or "")
        table.add_row(numbers, str(document.pages), *map(to_printable, cells))
    return table


def _summarize(entry: LibraryEntry) -> str:
    count = "1 document" if len(entry.documents) == 1 else f"{len(entry.documents)} documents"
    sizes = format_size(entry.text_bytes + entry.index_bytes), format_size(entry.state_bytes)
    return f"{count}, {entry.pages} pages, {sizes[0]} of text and index, {sizes[1]} of states"
