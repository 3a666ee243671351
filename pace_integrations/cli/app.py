"""Commands: options in, a session in the middle, text or JSON out.

PyTorch is imported by the first call that needs it, so that ``pace --help`` answers at once.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pace_integrations import __version__
from pace_integrations.cli.arguments import split_question
from pace_integrations.cli.command_group import PaceGroup
from pace_integrations.cli.commands.bench import bench
from pace_integrations.cli.commands.calibrate import calibrate
from pace_integrations.cli.commands.cluster import cluster
from pace_integrations.cli.commands.eval import evaluate
from pace_integrations.cli.commands.experts import experts
from pace_integrations.cli.commands.files import files as files_command
from pace_integrations.cli.commands.library import library
from pace_integrations.cli.commands.mcp import mcp
from pace_integrations.cli.commands.memory import memory
from pace_integrations.cli.commands.models import models
from pace_integrations.cli.commands.read import read
from pace_integrations.cli.commands.serve import serve
from pace_integrations.cli.commands.sessions import sessions
from pace_integrations.cli.conversation import converse
from pace_integrations.cli.highlight import Highlight, check_target, finish_answers
from pace_integrations.cli.opening import ShelvedDocuments, open_documents
from pace_integrations.cli.options import (
    AnswerOptions,
    Asked,
    ContextOptions,
    FileOptions,
    Json,
    MemoryOptions,
    ModelOptions,
    Paths,
    Questions,
    ReadingOptions,
    Unsupported,
    expand_groups,
)
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.config import GenerationConfig

if TYPE_CHECKING:
    from pace_integrations.answer import Answer
    from pace_integrations.session import Session

app = typer.Typer(
    name="pace",
    cls=PaceGroup,
    help="Read documents once with a local language model, then ask them questions.",
    epilog='For example: pace ask ~/papers "What is the total amount due?"',
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _print_version(
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"pace-integrations {__version__}")
        raise typer.Exit


@app.command()
@expand_groups
def ask(
    paths: Asked,
    model: ModelOptions,
    memory: MemoryOptions,
    context: ContextOptions,
    answer: AnswerOptions,
    reading: ReadingOptions,
    files: FileOptions,
    question: Questions = None,
    unsupported: Unsupported = "show",
    json: Json = False,
    highlight: Highlight = None,
) -> None:
    """Read documents and answer questions about them.

    The question stands behind the documents; several are given with -q. With --json, one question
    prints its answer as one object; several print {"answers": [...]}.
    """
    output = Output(json=json)
    with report_errors(output):
        generation, options = answer.make_config(), files.make_options()
        documents, questions = split_question(paths, question or ())
        check_target(highlight)
        session = open_documents(
            documents, output, model=model, reading=reading, files=options,
            unsupported=unsupported, memory=memory.make_config(), **asdict(context),
        )  # fmt: skip
        answers = _ask_questions(session, questions, generation, output)
        finish_answers(output, session, answers, highlight, options)


@app.command()
@expand_groups
def chat(
    paths: Paths,
    model: ModelOptions,
    memory: MemoryOptions,
    context: ContextOptions,
    answer: AnswerOptions,
    reading: ReadingOptions,
    files: FileOptions,
    unsupported: Unsupported = "show",
    json: Json = False,
) -> None:
    """Read documents once, then converse from the terminal or from standard input.

    A question sees the turns before it; /help lists the commands. /exit or the end of input ends
    it; Ctrl-C stops the answer being written. With --json, each answer is one line.
    """
    output = Output(json=json)
    with report_errors(output):
        generation, options = answer.make_config(), files.make_options()
        session = open_documents(
            paths, output, model=model, reading=reading, files=options,
            unsupported=unsupported, memory=memory.make_config(), **asdict(context),
        )  # fmt: skip
        converse(session.fork(), generation, output, remember=reading.may_store(session.corpus))


app.command()(bench)
app.command()(memory)
app.command()(calibrate)
app.command()(experts)
app.command()(cluster)
app.command("files")(files_command)
app.command("eval")(evaluate)
app.add_typer(sessions)
app.add_typer(models)
app.add_typer(library)
app.command("read")(read)
app.command("serve")(serve)
app.command("mcp")(mcp)


def _ask_questions(
    session: Session | ShelvedDocuments,
    questions: list[str],
    generation: GenerationConfig,
    output: Output,
) -> list[tuple[str, Answer]]:
    """Ask the questions and show the answers; return both."""
    answers = []
    for text in questions:
        stream = session.stream(text, generation=generation)
        output.show_answer(text, stream)
        answers.append((text, stream.answer))
    return answers
