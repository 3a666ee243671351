"""``pace sessions``: what the store of sessions holds, whether it is whole, and less of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

import typer
from rich.table import Table

from pace_integrations.cli.arguments import Json
from pace_integrations.cli.output import Output, errors, printable
from pace_integrations.store.entries import Entry
from pace_integrations.store.store import Sessions

sessions = typer.Typer(
    name="sessions",
    help="Sessions that were kept when documents were read; they are found again by themselves.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="A key or the beginning of it.")]
Keys = Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys or beginnings of them.")]
OneKey = Annotated[str | None, typer.Argument(metavar="[KEY]", help="A key; default: all.")]
Fast = Annotated[bool, typer.Option("--fast", help="Compare sizes of tensors, do not hash them.")]
Budget = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Most to keep, such as 20GB; default: 32GiB.")
]


@sessions.command("list")
def list_(json: Json = False) -> None:
    """Show all sessions, the one used last first."""
    output = Output(json=json)
    with errors(output):
        _show(output, Sessions().list())


@sessions.command()
def describe(key: Key, json: Json = False) -> None:
    """Show all that is known of a session."""
    output = Output(json=json)
    with errors(output):
        entry = Sessions().describe(key)
        table = _table("", "")
        for name, value in _flat(entry.to_dict()):
            table.add_row(name, printable(value))
        output.tables([table], entry.to_dict())


@sessions.command()
def verify(key: OneKey = None, fast: Fast = False, json: Json = False) -> None:
    """Check the files of a session, or of all; the exit code is 1 where one is damaged."""
    output = Output(json=json)
    with errors(output):
        entries = Sessions().verify(key, verify="fast" if fast else "full")
        _show(output, entries)
        problems = [entry.problem for entry in entries if entry.problem]
        output.notes(problems)
        if problems:
            raise typer.Exit(1)


@sessions.command()
def prune(budget: Budget = None, json: Json = False) -> None:
    """Remove the sessions used longest ago, until the rest fits; those in use stay."""
    output = Output(json=json)
    with errors(output):
        _removed(output, Sessions().prune(budget))


@sessions.command()
def remove(keys: Keys, json: Json = False) -> None:
    """Remove sessions."""
    output = Output(json=json)
    with errors(output):
        store = Sessions()
        known = [store.describe(key).key for key in keys]  # all of them, before any is removed
        _removed(output, [store.remove(key) for key in dict.fromkeys(known)])


def _show(output: Output, entries: Sequence[Entry]) -> None:
    columns = ("key", "status", "namespace", "model", "tokens", "size", "used", "documents")
    table = _table(*columns)
    for e in entries:
        row = (e.key[:12], e.status, e.namespace or "", e.model or "", str(e.tokens))
        ago = "now" if e.in_use else _ago(time.time() - e.used)
        table.add_row(*(printable(cell) for cell in (*row, _size(e.bytes), ago, _titles(e))))
    total = sum(entry.bytes for entry in entries)
    value = {"sessions": [entry.to_dict() for entry in entries], "bytes": total}
    output.tables([table] if entries else [], value)
    output.notes([f"{_count(entries)}, {_size(total)}, in {Sessions().root}"])


def _removed(output: Output, entries: Sequence[Entry]) -> None:
    freed = sum(entry.bytes for entry in entries)
    output.tables([], {"removed": [entry.to_dict() for entry in entries], "bytes": freed})
    output.notes([f"removed {_count(entries)}, {_size(freed)}"])


def _table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None, show_header=any(columns))
    for column in columns:
        right = column in ("tokens", "size", "used")
        whole = column not in ("", "documents", "model")  # a model may be a long path
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=whole)
    return table


def _flat(value: object, name: str = "") -> list[tuple[str, str]]:
    """Nested values as rows; ``{"a": {"b": 1}}`` gives ``a.b``."""
    if isinstance(value, dict):
        rows = (_flat(v, f"{name}.{k}" if name else k) for k, v in value.items())
        return [row for group in rows for row in group]
    if isinstance(value, tuple | list):
        return [(name, str(item)) for item in value]
    return [] if value is None else [(name, str(value))]


def _count(entries: Sequence[Entry]) -> str:
    return "1 session" if len(entries) == 1 else f"{len(entries)} sessions"


def _titles(entry: Entry) -> str:
    first = ", ".join(entry.documents[:2])
    return first + (f" and {len(entry.documents) - 2} more" if len(entry.documents) > 2 else "")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _ago(seconds: float) -> str:
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
