"""``pace calibrate --heads``: which keys of a model find pages, measured once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.table import Table

from pace_integrations.cli.opening import load_model
from pace_integrations.cli.options import Json, ModelOptions, expand_groups
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.errors import ConfigError

Heads = Annotated[bool, typer.Option("--heads", help="Find the heads whose keys find pages.")]
Count = Annotated[int, typer.Option(min=8, help="Made-up questions; half of them choose.")]


@expand_groups
def calibrate(
    model: ModelOptions, heads: Heads = False, questions: Count = 80, json: Json = False
) -> None:
    """Find the heads of a model whose keys find pages, on made-up questions, and keep them.

    Libraries of this model can then choose pages by its keys too, and an answer that names no page
    cites the one that the model looked at.
    """
    output = Output(json=json)
    with report_errors(output):
        if not heads:
            raise ConfigError("say what to calibrate: pace calibrate --heads")
        pace = load_model(output, model, memory=None)
        # Imports PyTorch.
        from pace_integrations.library import calibrate_heads
        from pace_integrations.library.profile import find_profile

        with output.track_progress("reading", "tokens") as show:
            found = calibrate_heads(pace, questions=questions, progress=show)
        output.show_tables([_make_table(found.recall)], found.to_dict())
        chosen = ", ".join(f"{layer}.{head}" for layer, head in found.profile.index_heads)
        notes = [f"heads (layer.key head): {chosen}", f"kept in {found.path}"]
        if find_profile(pace.engine.loaded) != found.profile:
            notes.append("this model brings a reading.json, which goes before what was found here")
        output.show_notes(notes)


def _make_table(recall: Mapping[str, float]) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("pages ranked by")
    table.add_column("right page first", justify="right")
    for name, share in recall.items():
        table.add_row(name, f"{share:.0%}")
    return table
