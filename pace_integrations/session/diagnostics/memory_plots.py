"""Two pictures of a memory, as PNG files. Needs the ``eval`` extra, and no display."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pace_integrations._plots import make_figure
from pace_integrations.memory import LayerReport, MemoryState, project_activations
from pace_integrations.session.diagnostics.memory_report import MemoryReport, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

_MOST_NAMES = 24  # documents that a map can name legibly
_COLOURS = "viridis"


def plot_memory(state: MemoryState, report: MemoryReport, folder: Path) -> tuple[Path, Path]:
    """Draws a memory.

    ``activations.png`` is the paper's Figure 4: the activations of the last step and the stored
    ones on two principal components, the stored ones coloured by how often they were used.
    ``provenance.png`` shows where in the documents the content of each slot came from.

    Args:
        state: The memory.
        report: What it holds.
        folder: Where the files go; it is made if it is not there.

    Returns:
        The two files.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = partial(make_figure, purpose="drawing the memory")
    drawn = figure(5.2 * len(report.layers), 4.8), figure(11.0, 1.2 + 3.2 * len(report.layers))
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "activations.png", folder / "provenance.png"
    with warnings.catch_warnings():
        # Titles may hold characters that no installed font has; boxes stand in for them.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        _draw_activations(drawn[0], state, report).savefig(files[0])
        _draw_provenance(drawn[1], report).savefig(files[1])
    return files


def _draw_activations(figure: Figure, state: MemoryState, report: MemoryReport) -> Figure:
    panels = figure.subplots(1, len(report.layers), squeeze=False)[0]
    for axes, layer in zip(panels, report.layers, strict=True):
        current, stored = project_activations(state, layer.layer)
        axes.scatter(*current.T.numpy(), s=14, c="0.7", marker="x", label="last step read")
        dots = axes.scatter(
            *stored.T.numpy(),
            # Of several modules, the first stands for the others.
            c=[slot.usage for slot in layer.slots if slot.module == 0],
            cmap=_COLOURS,
            norm=_usage_norm(layer),
            s=32,
            edgecolors="black",
            linewidths=0.4,
            label="stored",
        )
        figure.colorbar(dots, ax=axes, label="uses")
        axes.set(title=_layer_title(layer), xlabel="component 1", ylabel="component 2")
        axes.legend(loc="best", fontsize="small")
    return figure


def _draw_provenance(figure: Figure, report: MemoryReport) -> Figure:
    panels = figure.subplots(len(report.layers), 1, squeeze=False, sharex=True)[:, 0]
    for axes, layer in zip(panels, report.layers, strict=True):
        for span in report.spans:
            axes.axvline(span.start, color="0.93", linewidth=0.6, zorder=0)
        dots = axes.scatter(
            [slot.position for slot in layer.slots],
            [slot.module * layer.capacity / layer.modules + slot.index for slot in layer.slots],
            c=[slot.usage for slot in layer.slots],
            cmap=_COLOURS,
            norm=_usage_norm(layer),
            s=16,
        )
        figure.colorbar(dots, ax=axes, label="uses")
        axes.set(title=_layer_title(layer), ylabel="slot", ylim=(-1, layer.capacity))
        axes.set_xlim(0, max(report.tokens, 1))
        _mark_documents(axes, report.spans)
    return figure


def _mark_documents(axes: Axes, spans: Sequence[Span]) -> None:
    """Mark where documents start; names them while there is room for names."""
    whole = [list(group) for _, group in groupby(spans, key=lambda span: span.document_id)]
    for pages in whole:
        axes.axvline(pages[0].start, color="0.5", linewidth=0.8, zorder=0)
    if len(whole) > _MOST_NAMES:
        axes.set_xlabel(f"position in the {len(whole)} documents, in tokens")
        return
    axes.set_xticks([(pages[0].start + pages[-1].stop) / 2 for pages in whole])
    names = axes.set_xticklabels(
        [_shorten_title(pages[0].document) for pages in whole],
        rotation=30,
        ha="right",
        fontsize="small",
    )
    for name in names:
        name.set_parse_math(False)  # a dollar sign in a title is no formula


def _usage_norm(layer: LayerReport) -> LogNorm:
    from matplotlib.colors import LogNorm

    return LogNorm(1, max([10, *(slot.usage for slot in layer.slots)]))


def _layer_title(layer: LayerReport) -> str:
    modules = f", {layer.modules} modules" if layer.modules > 1 else ""
    slots = f"{len(layer.slots)} of {layer.capacity} slots"
    return f"layer {layer.layer}{modules}: {slots}, effective rank {layer.effective_rank:.1f}"


def _shorten_title(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:27]}…"
