"""``pace chat``: questions line by line, edited and remembered on a terminal, and its commands."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from pace_integrations._files import make_cache_folder, touch_file
from pace_integrations._paths import cache_folder
from pace_integrations.cli.output import Output
from pace_integrations.errors import PaceError

if TYPE_CHECKING:
    from pace_integrations.answer import Answer
    from pace_integrations.config import GenerationConfig
    from pace_integrations.documents import Corpus
    from pace_integrations.session import AnswerStream

PROMPT = "> "
COMMANDS = {
    "/help": "show these commands",
    "/sources": "show what the last answer stands on, or the documents before the first one",
    "/reset": "forget the questions and answers so far",
    "/exit": "end the conversation, as /quit and Ctrl-D do; Ctrl-C stops an answer",
}
_ENDS = ("/exit", "/quit")
_COMMAND = re.compile(r"/[a-z]+")
_MOST_LINES = 1000  # of the history


class Conversation(Protocol):
    """What is asked, turn by turn."""

    @property
    def corpus(self) -> Corpus | None:
        """The documents."""
        ...

    def stream(self, question: str, *, generation: GenerationConfig) -> AnswerStream:
        """Answer a question that sees the turns before it."""
        ...

    def reset(self) -> None:
        """Forget the turns."""
        ...


def converse(
    conversation: Conversation, generation: GenerationConfig, output: Output, *, remember: bool
) -> None:
    """Answer questions until the input ends.

    Args:
        conversation: What is asked.
        generation: How answers are written.
        output: Where they are shown.
        remember: Whether the questions are kept for the next conversation's history.
    """
    last: Answer | None = None
    with contextlib.closing(iter_lines(remember)) as lines:
        for text in lines:
            if text in _ENDS:
                return
            if text == "/reset":
                conversation.reset()
                last = None
            elif text == "/sources":
                output.show_sources(last, conversation.corpus)
            elif text == "/help":
                output.show_notes([f"{name:10}{about}" for name, about in COMMANDS.items()])
            elif _COMMAND.fullmatch(text):
                output.show_notes([f"there is no command {text}; /help shows those there are"])
            else:
                try:
                    stream = conversation.stream(text, generation=generation)
                    last = output.show_line(text, stream) or last
                except PaceError as error:
                    output.show_error(error)


def iter_lines(remember: bool) -> Generator[str]:
    """Yield lines that are typed or piped in, up to the end; a terminal edits and remembers."""
    if not sys.stdin.isatty():
        yield from filter(None, (line.strip() for line in sys.stdin))
        return
    editor, history = _load_editor(), None
    if editor is not None and remember:
        history = _open_history(editor)
    try:
        while True:
            sys.stderr.write("\n")
            if text := _read_line().strip():
                yield text
    except (EOFError, KeyboardInterrupt):
        sys.stderr.write("\n")  # the shell's own prompt begins a line
    finally:
        if editor is not None and history is not None:
            with contextlib.suppress(OSError):
                editor.write_history_file(history)


def _read_line() -> str:
    if sys.stdout.isatty():
        return input(PROMPT)  # edited, where the module for it is loaded
    # The editor would write the prompt where the answers go.
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _load_editor() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # Windows' console edits by itself
        return None
    return readline


def _open_history(editor: ModuleType) -> Path | None:
    """Load the history; return its file, which nobody but the user can read."""
    folder = cache_folder("history")
    path = folder / "chat"
    try:
        make_cache_folder(folder)
        touch_file(path)
        editor.read_history_file(path)
    except OSError:  # a help, not a condition
        return None
    editor.set_history_length(_MOST_LINES)
    return path
