"""Commands: options in, a session in the middle, text or JSON out.

PyTorch is imported by the first call that needs it, so that ``pace --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pace_integrations import __version__
from pace_integrations.cli.arguments import (
    Beyond,
    Chunk,
    Context,
    Device,
    Dtype,
    Json,
    Keys,
    MaxNewTokens,
    Memory,
    Model,
    Paths,
    Quantised,
    Questions,
    Seed,
    Store,
    Temperature,
)
from pace_integrations.cli.commands.bench import bench
from pace_integrations.cli.commands.cluster import cluster
from pace_integrations.cli.commands.eval import evaluate
from pace_integrations.cli.commands.experts import experts
from pace_integrations.cli.commands.files import (
    Drop,
    Engine,
    Exclude,
    Hidden,
    Include,
    Ocr,
    Password,
    TimeLimit,
    read_options,
)
from pace_integrations.cli.commands.files import files as files_command
from pace_integrations.cli.commands.memory import memory
from pace_integrations.cli.commands.sessions import sessions
from pace_integrations.cli.highlight import Highlight, check_target, finish_answers
from pace_integrations.cli.options import Held, Options, Overflow
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.errors import PaceError, QuestionError

if TYPE_CHECKING:
    from pace_integrations.answer import Answer
    from pace_integrations.session import Session

app = typer.Typer(
    name="pace",
    help="Read documents once with a local language model, then ask them questions.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _print_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"pace-integrations {__version__}")
        raise typer.Exit


@app.command()
def ask(
    paths: Paths,
    question: Questions,
    model: Model = None,
    quantization: Quantised = None,
    memory: Memory = True,
    json: Json = False,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    chunk: Chunk = 1024,
    dtype: Dtype = "auto",
    device: Device = None,
    store: Store = True,
    overflow: Beyond = Overflow.error,
    context: Context = None,
    kv: Keys = Held.full,
    password: Password = None,
    ocr: Ocr = None,
    pdf: Engine = "pypdf",
    include: Include = None,
    exclude: Exclude = None,
    hidden: Hidden = False,
    drop: Drop = False,
    time_limit: TimeLimit = 300.0,
    highlight: Highlight = None,
) -> None:
    """Read documents and answer questions about them.

    With --json, one question prints its answer as one object; several print {"answers": [...]}.
    """
    output = Output(json=json)
    with report_errors(output):
        how = read_options(password, ocr, pdf, include, exclude, hidden, drop, time_limit)
        options = Options(
            model,
            quantization,
            memory,
            max_new_tokens,
            temperature,
            seed,
            chunk,
            dtype,
            device,
            store=store,
            overflow=overflow,
            context=context,
            kv=kv,
            files=how,
        )
        if not all(text.strip() for text in question):
            raise QuestionError("a question is empty; write what you want to know after -q")
        check_target(highlight)
        session = options.read(paths, output)
        answers = _ask_questions(session, question, options, output)
        finish_answers(output, session, answers, highlight, how)


@app.command()
def chat(
    paths: Paths,
    model: Model = None,
    quantization: Quantised = None,
    memory: Memory = True,
    json: Json = False,
    max_new_tokens: MaxNewTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    chunk: Chunk = 1024,
    dtype: Dtype = "auto",
    device: Device = None,
    store: Store = True,
    overflow: Beyond = Overflow.error,
    context: Context = None,
    kv: Keys = Held.full,
    password: Password = None,
    ocr: Ocr = None,
    pdf: Engine = "pypdf",
    include: Include = None,
    exclude: Exclude = None,
    hidden: Hidden = False,
    drop: Drop = False,
    time_limit: TimeLimit = 300.0,
) -> None:
    """Read documents once, then converse from the terminal or from standard input.

    A question sees the turns before it; /reset forgets them. /quit or the end of input ends it;
    Ctrl-C stops the answer being written. With --json, each answer is one line.
    """
    output = Output(json=json)
    with report_errors(output):
        how = read_options(password, ocr, pdf, include, exclude, hidden, drop, time_limit)
        options = Options(
            model,
            quantization,
            memory,
            max_new_tokens,
            temperature,
            seed,
            chunk,
            dtype,
            device,
            store=store,
            overflow=overflow,
            context=context,
            kv=kv,
            files=how,
        )
        conversation = options.read(paths, output).fork()
        for text in _read_questions(output):
            if text == "/reset":
                conversation.reset()
                continue
            try:
                output.show_line(text, conversation.stream(text, generation=options.generation()))
            except PaceError as error:
                output.show_error(error)


app.command()(bench)
app.command()(memory)
app.command()(experts)
app.command()(cluster)
app.command("files")(files_command)
app.command("eval")(evaluate)
app.add_typer(sessions)


def _ask_questions(
    session: Session, questions: list[str], options: Options, output: Output
) -> list[tuple[str, Answer]]:
    """Asks the questions and shows the answers; gives both back."""
    answers = []
    for text in questions:
        stream = session.stream(text, generation=options.generation())
        output.show_answer(text, stream)
        answers.append((text, stream.answer))
    return answers


def _read_questions(output: Output) -> Iterator[str]:
    """Questions typed or piped in, up to ``/quit`` or the end."""
    while True:
        try:
            line = output.ask_question() if sys.stdin.isatty() else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            return
        if line == "" or line.strip() == "/quit":
            return
        if line.strip():
            yield line.strip()
