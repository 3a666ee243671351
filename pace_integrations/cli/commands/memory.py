"""``pace memory``: what the memory holds after reading, as tables, JSON or pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pace_integrations.cli.opening import read_documents
from pace_integrations.cli.options import (
    CHUNK,
    Chunk,
    Json,
    ModelOptions,
    Paths,
    ReadingOptions,
    RuleOptions,
    expand_groups,
)
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.cli.texts import to_line
from pace_integrations.errors import MissingExtraError

if TYPE_CHECKING:
    from pace_integrations.memory import Hits, StepHits
    from pace_integrations.session.diagnostics.memory_report import MemoryReport, Span

_MOST_STEPS = 12  # rows of hit rates; more steps than that are shown in groups
_MOST_PAGES = 10  # pages per layer, those with the most slots

Plot = Annotated[Path | None, typer.Option(metavar="DIR", help="Draw two PNGs into a folder.")]


@expand_groups
def memory(
    paths: Paths,
    model: ModelOptions,
    rule: RuleOptions,
    json: Json = False,
    plot: Plot = None,
    chunk: Chunk = CHUNK,
) -> None:
    """Read documents and show what the activation memory made of them.

    Shows how often tokens met something similar, how diverse and how old the slots are, and the
    pages they came from. With --plot, draws the activations and a map of the slots' origins.
    """
    output = Output(json=json)
    with report_errors(output):
        if plot and importlib.util.find_spec("matplotlib") is None:
            raise MissingExtraError("--plot", "eval")  # before anything is read
        reading = ReadingOptions(chunk=chunk, store=False)
        memory = rule.make_config()
        session = read_documents(paths, output, model=model, reading=reading, memory=memory)
        report = session.memory_report()
        files = session.plot_memory(plot) if plot else ()
        tables = [_make_layer_table(report), _make_step_table(report), _make_page_table(report)]
        output.show_tables(tables, {**report.to_dict(), "plots": [str(file) for file in files]})
        output.show_notes([f"drawn: {file}" for file in files])


def _make_layer_table(report: MemoryReport) -> Table:
    table = _make_table(
        f"{report.tokens} tokens read", "layer", "slots", *_RATES, "rank", "cosine", "age"
    )
    for layer in report.layers:
        ages = [slot.age for slot in layer.slots] or [0]
        table.add_row(
            str(layer.layer),
            f"{len(layer.slots)}/{layer.capacity}",
            *_format_rates(layer.hits),
            f"{layer.effective_rank:.1f}",
            f"{layer.mean_cosine:.2f}",
            f"{min(ages)} to {max(ages)}",
        )
    return table


def _make_step_table(report: MemoryReport) -> Table:
    table = _make_table("hits while reading", "layer", "tokens", *_RATES)
    for layer in report.layers:
        for group in _group_steps(layer.steps):
            span = f"{group[0].start} to {group[-1].stop}"
            table.add_row(str(layer.layer), span, *_format_rates(_sum_hits(group)))
    return table


def _make_page_table(report: MemoryReport) -> Table:
    table = _make_table("where the slots came from", "layer", "slots", "uses", "document", "page")
    table.add_column("words around the most used", overflow="fold")
    for layer in report.layers:
        pages = sorted(report.by_page(layer).items(), key=lambda item: -len(item[1]))
        for span, slots in pages[:_MOST_PAGES]:
            used = max(slots, key=lambda slot: slot.usage)
            words = to_line(report.origin(used).words)
            uses = sum(slot.usage for slot in slots)
            table.add_row(str(layer.layer), str(len(slots)), str(uses), *_format_page(span), words)
        if more := pages[_MOST_PAGES:]:
            count = sum(len(slots) for _, slots in more)
            table.add_row(str(layer.layer), str(count), "", f"({len(more)} other pages)", "", "")
    return table


_RATES = ("high", "medium", "low")


def _format_rates(hits: Hits) -> Iterator[str]:
    return (f"{100 * rate:.1f} %" for rate in hits.rates)


def _group_steps(steps: Sequence[StepHits]) -> list[Sequence[StepHits]]:
    """Consecutive steps in at most `_MOST_STEPS` groups of nearly one size."""
    count = min(len(steps), _MOST_STEPS)
    borders = [i * len(steps) // max(count, 1) for i in range(count + 1)]
    return [steps[a:b] for a, b in pairwise(borders)]


def _sum_hits(steps: Sequence[StepHits]) -> Hits:
    from pace_integrations.memory import Hits

    hits = [step.hits for step in steps]
    return Hits(sum(h.high for h in hits), sum(h.medium for h in hits), sum(h.low for h in hits))


def _format_page(span: Span | None) -> tuple[str, str]:
    if span is None:
        return "(the instruction)", ""
    label = span.page_label
    page = str(span.page) if label in (None, str(span.page)) else f"{label} ({span.page})"
    return to_line(span.document), to_line(page)


def _make_table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False, box=None)
    for column in columns:
        numbers = column not in ("document", "page")
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    return table
