"""``pace sessions``: what the store of sessions holds, whether it is whole, and less of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

import typer
from rich.table import Table

from pace_integrations._paths import cache_folder, home_folder
from pace_integrations.cli.options import Json
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.cli.texts import format_size, to_line
from pace_integrations.store.entries import Entry
from pace_integrations.store.store import Sessions
from pace_integrations.store.wipe import wipe_rooms

sessions = typer.Typer(
    name="sessions",
    help="Sessions that were kept when documents were read; they are found again by themselves.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="A key or the beginning of it.")]
Keys = Annotated[list[str], typer.Argument(metavar="KEY", help="Keys or beginnings of them.")]
OneKey = Annotated[str | None, typer.Argument(metavar="[KEY]", help="A key; default: all.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before.")]
Fast = Annotated[bool, typer.Option("--fast", help="Compare sizes of tensors, do not hash them.")]
Budget = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Most to keep, such as 20GB; default: 32GiB.")
]


@sessions.command("list")
def list_sessions(json: Json = False) -> None:
    """Show all sessions, the one used last first."""
    output = Output(json=json)
    with report_errors(output):
        _show_entries(output, Sessions().list())


@sessions.command("describe")
def describe_session(key: Key, json: Json = False) -> None:
    """Show all that is known of a session."""
    output = Output(json=json)
    with report_errors(output):
        entry = Sessions().describe(key)
        table = _make_table("", "")
        for name, value in _flatten_value(entry.to_dict()):
            table.add_row(name, to_line(value))
        output.show_tables([table], entry.to_dict())


@sessions.command("verify")
def verify_sessions(key: OneKey = None, fast: Fast = False, json: Json = False) -> None:
    """Check the files of a session, or of all; the exit code is 1 where one is damaged."""
    output = Output(json=json)
    with report_errors(output):
        entries = Sessions().verify(key, verify="fast" if fast else "full")
        _show_entries(output, entries)
        problems = [entry.problem for entry in entries if entry.problem]
        output.show_notes(problems)
        if problems:
            raise typer.Exit(1)


@sessions.command("prune")
def prune_sessions(budget: Budget = None, json: Json = False) -> None:
    """Remove the sessions used longest ago, until the rest fits; those in use stay."""
    output = Output(json=json)
    with report_errors(output):
        _show_removed(output, Sessions().prune(budget))


@sessions.command("remove")
def remove_sessions(keys: Keys, json: Json = False) -> None:
    """Remove sessions."""
    output = Output(json=json)
    with report_errors(output):
        store = Sessions()
        known = [store.describe(key).key for key in keys]  # all of them, before any is removed
        _show_removed(output, [store.remove(key) for key in dict.fromkeys(known)])


@sessions.command("wipe")
def wipe_sessions(yes: Yes = False, json: Json = False) -> None:
    """Remove everything that was kept by itself: sessions, page states, neuron orders, history.

    What is in use stays, and so does what you saved to a path of your own.
    """
    output = Output(json=json)
    with report_errors(output):
        if not yes:
            typer.confirm(f"Remove all that is kept in {home_folder()}?", abort=True, err=True)
        removed = Sessions().wipe()
        left = [str(cache_folder(room)) for room in wipe_rooms()]
        _show_removed(output, removed)
        output.show_notes([f"could not be removed: {path}" for path in left])
        kept = Sessions().list()
        output.show_notes([f"still in use: {entry.key[:12]}" for entry in kept])
        if left or kept:
            raise typer.Exit(1)


def _show_entries(output: Output, entries: Sequence[Entry]) -> None:
    columns = ("key", "status", "namespace", "model", "tokens", "size", "used", "documents")
    table = _make_table(*columns)
    for e in entries:
        row = (e.key[:12], e.status, e.namespace or "", e.model or "", str(e.tokens))
        ago = "now" if e.in_use else _format_age(time.time() - e.used)
        table.add_row(
            *(to_line(cell) for cell in (*row, format_size(e.bytes), ago, _format_titles(e)))
        )
    total = sum(entry.bytes for entry in entries)
    value = {"sessions": [entry.to_dict() for entry in entries], "bytes": total}
    output.show_tables([table] if entries else [], value)
    output.show_notes([f"{_count_sessions(entries)}, {format_size(total)}, in {Sessions().root}"])


def _show_removed(output: Output, entries: Sequence[Entry]) -> None:
    freed = sum(entry.bytes for entry in entries)
    output.show_tables([], {"removed": [entry.to_dict() for entry in entries], "bytes": freed})
    output.show_notes([f"removed {_count_sessions(entries)}, {format_size(freed)}"])


def _make_table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None, show_header=any(columns))
    for column in columns:
        right = column in ("tokens", "size", "used")
        whole = column not in ("", "documents", "model")  # a model may be a long path
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=whole)
    return table


def _flatten_value(value: object, name: str = "") -> list[tuple[str, str]]:
    """Nested values as rows; ``{"a": {"b": 1}}`` gives ``a.b``."""
    if isinstance(value, dict):
        rows = (_flatten_value(v, f"{name}.{k}" if name else k) for k, v in value.items())
        return [row for group in rows for row in group]
    if isinstance(value, tuple | list):
        return [(name, str(item)) for item in value]
    return [] if value is None else [(name, str(value))]


def _count_sessions(entries: Sequence[Entry]) -> str:
    return "1 session" if len(entries) == 1 else f"{len(entries)} sessions"


def _format_titles(entry: Entry) -> str:
    first = ", ".join(entry.documents[:2])
    return first + (f" and {len(entry.documents) - 2} more" if len(entry.documents) > 2 else "")


def _format_age(seconds: float) -> str:
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
