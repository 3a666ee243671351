"""``pace read``: documents into a library, by this process or by actors of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pace_integrations.cli.arguments import parse_path
from pace_integrations.cli.opening import check_options, load_model, open_corpus
from pace_integrations.cli.options import FileOptions, Json, ModelOptions, Paths, expand_groups
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.store.shared_folder import is_url

if TYPE_CHECKING:
    from pace_integrations.documents import Report

Place = Annotated[str, typer.Argument(metavar="LIBRARY", help="Folder or address of the library.")]
Ray = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Read with N actors of a Ray cluster; default: in this process."
    ),
]


@expand_groups
def read(
    place: Place,
    paths: Paths,
    model: ModelOptions,
    files: FileOptions,
    ray: Ray = None,
    json: Json = False,
) -> None:
    """Read documents into a library: a folder, or an address such as s3://bucket/reports.

    What is read already is not read again, so an interrupted reading goes on.
    """
    output = Output(json=json)
    with report_errors(output):
        library = place if is_url(place) else parse_path(place)
        check_options(paths, output, model)
        told = (
            _read_here(library, paths, output, model, files)
            if ray is None
            else _read_with_actors(library, paths, output, model, files, ray)
        )
        report: Report = told.pop("report")
        output.show_report(report)
        output.show_tables([], {**told, "report": report.to_dict()})
        counts = f"{len(told['added'])} added, {len(told['replaced'])} replaced"
        output.show_notes([f"{counts}; {told['read']} tokens read"])


def _read_here(
    library: str | Path, paths: list[Path], output: Output, model: ModelOptions, files: FileOptions
) -> dict[str, Any]:
    from pace_integrations.library import Library

    corpus = open_corpus(paths, output, files.make_options())
    opened = Library.open(library, load_model(output, model, memory=None))
    with output.track_progress("reading", "tokens") as show:
        change = opened.replace(corpus, progress=show)
    names = ("added", "replaced", "read", "report")
    return {name: getattr(change, name) for name in names}


def _read_with_actors(
    library: str | Path,
    paths: list[Path],
    output: Output,
    model: ModelOptions,
    files: FileOptions,
    actors: int,
) -> dict[str, Any]:
    from dataclasses import asdict

    from pace_integrations.ray import read as read_files

    with output.track_progress("reading", "pages") as show:
        made = read_files(
            [*paths],
            library,
            actors=actors,
            options=files.make_options(),
            progress=show,
            memory=None,
            **asdict(model),
        )
    return {
        "added": made.added,
        "replaced": made.replaced,
        "read": made.tokens,
        "shares": dict(made.shares),
        "report": made.report,
    }
