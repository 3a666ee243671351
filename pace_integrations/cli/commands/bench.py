"""``pace bench``: what to expect of a model on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from pace_integrations.cli.estimates import TOKENS_PER_PAGE, Estimate, estimate_model
from pace_integrations.cli.opening import check_options, load_model
from pace_integrations.cli.options import (
    ContextOptions,
    Json,
    MemoryOptions,
    ModelOptions,
    expand_groups,
)
from pace_integrations.cli.output import Output, report_errors

_PAGES = (10, 50, 200, 1000)

Seconds = Annotated[float, typer.Option(help="Time after which no more is read.", min=1.0)]


@expand_groups
def bench(
    model: ModelOptions,
    memory: MemoryOptions,
    context: ContextOptions,
    json: Json = False,
    seconds: Seconds = 60.0,
) -> None:
    """Try a model for a minute or two and say what to expect of it on this machine.

    Reads made-up notes, asks about them, and derives times and memory for documents of any length.
    """
    output = Output(json=json)
    with report_errors(output):
        check_options((), output, model, **asdict(context))
        pace = load_model(output, model, memory=memory.make_config(), **asdict(context))
        with output.show_status("reading and asking"):
            found = estimate_model(pace, seconds=seconds)
        pages = [_estimate_pages(found, count, TOKENS_PER_PAGE) for count in _PAGES]
        tables = [_make_rates_table(pace.name, found), _make_pages_table(found, TOKENS_PER_PAGE)]
        output.show_tables(tables, {"model": pace.name, **found.to_dict(), "pages": pages})


def _estimate_pages(found: Estimate, pages: int, size: int) -> dict[str, float]:
    tokens = pages * size
    return {"pages": pages, "seconds": found.seconds(tokens), "bytes": found.bytes(tokens)}


def _make_rates_table(name: str, found: Estimate) -> Table:
    table = Table(title=f"{name}, measured over {found.tokens} tokens")
    table.add_column("what")
    table.add_column("figure", justify="right")
    rates = {
        "reading at the start": f"{1 / found.per_token:,.0f} tokens/s",
        "reading at the end": f"{1 / _last_token_seconds(found):,.0f} tokens/s",
        "first token of an answer": f"{found.first_token:.3f} s",
        "writing": f"{found.written_per_second:,.0f} tokens/s",
        "weights": f"{found.weights / 2**20:,.0f} MiB",
        "cache of 1,000 tokens": f"{found.cache_per_token * 1000 / 2**20:,.1f} MiB",
        "memory banks": f"{found.banks / 2**20:,.1f} MiB",
        "context": f"{found.context_window:,} tokens",
    }
    for what, figure in rates.items():
        table.add_row(what, figure)
    return table


def _last_token_seconds(found: Estimate) -> float:
    return found.per_token + found.tokens * found.per_past_token


def _make_pages_table(found: Estimate, size: int) -> Table:
    table = Table(title=f"to expect, at {size} tokens per page")
    for head in ("pages", "time to read", "held in memory", "fits the context"):
        table.add_column(head, justify="right")
    for pages in _PAGES:
        tokens = pages * size
        table.add_row(
            f"{pages:,}",
            f"{found.seconds(tokens):,.0f} s",
            f"{found.bytes(tokens) / 2**20:,.0f} MiB",
            "yes" if tokens <= found.context_window else "no",
        )
    return table
