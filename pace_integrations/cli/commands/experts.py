"""``pace experts``: which modules of the model the pages of documents use."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pace_integrations.cli.commands.cluster import ClusterSeed, Experts, Solving
from pace_integrations.cli.opening import check_options, open_corpus, show_loading
from pace_integrations.cli.options import Json, ModelOptions, Paths, expand_groups
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.cli.texts import to_line
from pace_integrations.config import ExpertConfig
from pace_integrations.errors import MissingExtraError

if TYPE_CHECKING:
    from pace_integrations.session.diagnostics.module_usage import ModuleUsage

Top = Annotated[int, typer.Option(min=1, help="Modules to show per document.")]
Layers = Annotated[
    list[int] | None, typer.Option("--layer", help="A layer, 0-based; repeat it; default: all.")
]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the heat map as a PNG.")]


@expand_groups
def experts(
    paths: Paths,
    model: ModelOptions,
    experts: Experts = 64,
    top: Top = 5,
    layer: Layers = None,
    solver: Solving = "fast",
    seed: ClusterSeed = 0,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """Show which modules fire for which documents.

    Neurons are clustered into experts first, which takes a while the first time. A module is
    specific to a document as far as it fires more strongly there than on the other documents.
    """
    output = Output(json=json)
    with report_errors(output):
        if plot and importlib.util.find_spec("matplotlib") is None:
            raise MissingExtraError("--plot", "eval")  # before anything is read
        config = ExpertConfig(
            experts=experts, solver=solver, seed=seed, layers=tuple(layer) if layer else None
        )
        usage = _measure_usage(paths, model, config, output)
        if plot:
            usage.plot(plot)
        drawn = str(plot) if plot else None
        output.show_tables([_make_table(usage, top)], {**usage.to_dict(top), "plot": drawn})
        output.show_notes([f"drawn: {drawn}"] if drawn else [])


def _measure_usage(
    paths: list[Path],
    model: ModelOptions,
    config: ExpertConfig,
    output: Output,
) -> ModuleUsage:
    check_options(paths, output, model)
    corpus = open_corpus(paths, output)
    output.show_report(corpus.report)
    from pace_integrations.session import Pace

    with show_loading(model.model, output, "loading and clustering"):
        pace = Pace.load(**asdict(model), memory=None, experts=config)
    with pace, output.track_progress("reading", "tokens") as show:
        return pace.module_usage(corpus, progress=show)


def _make_table(usage: ModuleUsage, top: int) -> Table:
    against = "times the others" if len(usage.documents) > 1 else "times the layer's mean"
    table = Table(box=None, show_edge=False, pad_edge=False, title_justify="left")
    table.title = f"{usage.experts} modules in each of {len(usage.layers)} layers"
    table.add_column("document", overflow="fold")
    for column in ("layer", "module", "usage", against):
        table.add_column(column, justify="right")
    for document in usage.documents:
        title = to_line(document.title)
        for found in usage.specific(document, top):
            numbers = (str(found.layer), str(found.module), f"{found.usage:.4g}")
            table.add_row(title, *numbers, f"{found.times:.2f}")
            title = ""
    return table
