"""What the commands show: answers on standard output, everything else on standard error."""

from __future__ import annotations

import errno
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from pace_integrations.cli.consoles import is_terminal, make_console
from pace_integrations.cli.spelling import to_shell_words
from pace_integrations.cli.tables import format_table, format_usage, make_citation_table
from pace_integrations.cli.texts import (
    describe_error,
    format_names,
    group_pairs,
    to_line,
    to_printable,
)
from pace_integrations.errors import PaceError

if TYPE_CHECKING:
    from pace_integrations.answer import Answer
    from pace_integrations.documents import Corpus, ReadProgress, Report
    from pace_integrations.session import AnswerStream


_SURROGATES = re.compile("[\ud800-\udfff]")


class HoldsCorpus(Protocol):
    """What was asked: a session, or a library."""

    @property
    def corpus(self) -> Corpus | None:
        """The documents, with the report of how they were opened."""
        ...


class Output:
    """Text for people, or JSON for programs.

    Args:
        json: Whether standard output carries JSON.
    """

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._answers: list[dict[str, Any]] = []
        self._out, self._err = make_console(), make_console(stderr=True)
        self._watched = is_terminal(sys.stderr)
        _show_own_log(self)

    def show_answer(self, question: str, stream: AnswerStream) -> None:
        """Show one answer of several as it is written; JSON waits for `finish_answers`."""
        if self._json:
            self._answers.append({"question": question, **stream.answer.to_dict()})
            return
        self._out.print(to_printable(question), style="bold")
        self._write_answer(stream)

    def show_line(self, question: str, stream: AnswerStream) -> Answer | None:
        """Show one answer of a conversation and return it; Ctrl-C stops it and nothing else."""
        try:
            if self._json:
                self._print_json({"question": question, **stream.answer.to_dict()})
            else:
                self._write_answer(stream)
        except KeyboardInterrupt:
            stream.close()
            self._err.print("\n(stopped)")
            return None
        return stream.answer

    def finish_answers(
        self,
        asked: HoldsCorpus,
        highlights: Sequence[Mapping[str, Any]] = (),
        problem: Exception | None = None,
    ) -> None:
        """End a command that answered a fixed list of questions; a problem comes beside them."""
        if not self._json:
            if problem is not None:
                self.show_error(problem)
            return
        corpus = asked.corpus
        report = corpus.report.to_dict() if corpus else {}
        answers = self._answers
        whole = answers[0] if len(answers) == 1 else {"answers": answers}
        extra = {"highlights": list(highlights)} if highlights else {}
        failed = _error_dict(problem) if problem is not None else {}
        self._print_json({**whole, "report": report, **extra, **failed})

    def show_tables(self, tables: Sequence[Table], value: dict[str, Any]) -> None:
        """Show tables to people, or what they were made from to programs."""
        if self._json:
            self._print_json(value)
            return
        for i, table in enumerate(tables):
            if i:
                self._out.print()
            self._print_table(table)

    def show_notes(self, lines: Sequence[str]) -> None:
        """Show what else there is to say, each in one line."""
        for line in lines:
            self._err.print(to_line(to_shell_words(line)), style="dim")

    def show_details(self, lines: Sequence[str]) -> None:
        """Show what helps a person who watches: nothing where no terminal is."""
        if self._watched:
            self.show_notes(lines)

    def show_error(self, error: Exception) -> None:
        """Show what went wrong, in one line."""
        if self._json:
            self._print_json(_error_dict(error))
        else:
            line = to_line(to_shell_words(describe_error(error)))
            self._err.print(Text.assemble(("pace:", "bold red"), f" {line}"))

    def show_report(self, report: Report) -> None:
        """Show the files that were not read whole, what to do about them, and what OCR read.

        Files of which the same is said share a line.
        """
        problems = [
            (f"{f.status}{f'; {f.remedy}' * bool(f.remedy)}", f.path) for f in report.problems
        ]
        for said, names in group_pairs(problems):
            said = to_shell_words(said)
            self._err.print(to_line(f"{format_names(names)}: {said}"), style="yellow")
        on_pages = [(line, file.path) for file in report.files for line in file.on_pages]
        groups = group_pairs(on_pages)
        self.show_notes([f"{format_names(names)}: {said}" for said, names in groups])

    def show_sources(self, answer: Answer | None, corpus: Corpus | None) -> None:
        """Show what an answer stands on, or the documents before the first one."""
        sources = (answer.citations or answer.evidence) if answer is not None else ()
        documents = corpus.documents if corpus is not None else ()
        if self._json:
            value = {"sources": [asdict(c) for c in sources]} if answer is not None else {}
            self._print_json({**value, "documents": [d.title for d in documents]})
        elif answer is not None and sources:
            self._print_table(make_citation_table(sources))
        elif answer is not None:
            self.show_notes(["the last answer cites no page"])
        else:
            table = Table("document", "pages", show_edge=False, pad_edge=False, box=None)
            for document in documents:
                table.add_row(to_line(document.title), str(len(document.pages)))
            self._print_table(table)

    @contextmanager
    def track_files(self) -> Iterator[Callable[[ReadProgress], None]]:
        """Show files, pages per second and the time left while documents are opened."""
        with self._make_bar(TextColumn("{task.fields[news]}")) as bar:
            task = bar.add_task("opening", total=None, news="")

            def show(now: ReadProgress) -> None:
                left = "" if now.seconds_left is None else f", {now.seconds_left:.0f} s left"
                news = f"files, {now.pages} pages ({now.pages_per_second:.0f}/s{left})"
                bar.update(task, completed=now.files_done, total=now.files, news=news)

            yield show

    def show_status(self, what: str) -> AbstractContextManager[object]:
        """Show that something without a known length goes on."""
        return self._err.status(to_printable(what)) if self._watched else nullcontext()

    @contextmanager
    def track_progress(self, what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar that vanishes at the end; gives what moves it."""
        with self._make_bar(TextColumn(unit), TimeRemainingColumn()) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _make_bar(self, *columns: ProgressColumn) -> Progress:
        first = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        return Progress(
            *first,
            *columns,
            console=self._err,
            transient=True,
            disable=not self._watched,
        )

    def _print_table(self, table: Table) -> None:
        if is_terminal(sys.stdout):
            self._out.print(table)
            return
        for line in format_table(table):
            self._out.print(line)

    def _write_answer(self, stream: AnswerStream) -> None:
        for piece in stream:
            self._out.print(to_printable(piece), end="")
        self._out.print()
        answer = stream.answer
        if answer.supported is False:
            self._out.print("(not supported by the pages; these fit the question best)")
            self._print_table(make_citation_table(answer.evidence))
        if answer.citations:
            self._print_table(make_citation_table(answer.citations))
        self.show_details([format_usage(answer)])

    def _print_json(self, value: dict[str, Any]) -> None:
        # Not through rich: JSON must stay as it is, byte for byte, whatever the locale.
        text = _SURROGATES.sub(_escape_surrogate, json.dumps(value, ensure_ascii=False))
        typer.echo(text.encode())


@contextmanager
def report_errors(output: Output) -> Iterator[None]:
    """End the command with one line and code 2 on an error, with 130 on Ctrl-C."""
    try:
        yield
    except (PaceError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # the reader of the output has seen enough
        output.show_error(error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _error_dict(error: Exception) -> dict[str, Any]:
    message = to_shell_words(describe_error(error))
    return {"error": {"type": type(error).__name__, "message": message}}


def _escape_surrogate(found: re.Match[str]) -> str:
    """Return JSON's escape of half a character, as names that are no UTF-8 have."""
    return f"\\u{ord(found[0]):04x}"


class _OwnLog(logging.Handler):
    """Shows this package's warnings as notes; advice only to people who watch."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        advice = getattr(record, "advice", False)
        show = self._output.show_details if advice else self._output.show_notes
        show([record.getMessage()])


def _show_own_log(output: Output) -> None:
    logger = logging.getLogger("pace_integrations")
    for handler in [h for h in logger.handlers if isinstance(h, _OwnLog)]:
        logger.removeHandler(handler)
    logger.addHandler(_OwnLog(output))
