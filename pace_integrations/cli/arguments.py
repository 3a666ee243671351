"""Arguments of commands: paths, and the question that may stand behind them."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from pace_integrations.errors import DocumentError, QuestionError
from pace_integrations.store.shared_folder import is_url

STDIN = "-"
_EMPTY = "a path is empty; name a file or a folder, or . for the working directory"
_FROM_ROOT = ("/", "./", "../", "~")


def parse_path(text: str) -> Path:
    """Return a path that was typed.

    Raises:
        typer.BadParameter: It is empty, which would be the working directory.
    """
    if not text.strip():
        raise typer.BadParameter(_EMPTY)
    return Path(text)


def parse_place(text: str) -> str:
    """Return where a library lies as it was typed: a folder, or an address.

    Raises:
        typer.BadParameter: It is empty, which would be the working directory.
    """
    return text if is_url(text) else str(parse_path(text))


def split_question(words: Sequence[str], questions: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the documents and the questions that a command was given.

    Without ``-q``, the last word is the question where it names no file and does not look like the
    name of one; ``-`` stands for a question on standard input.

    Args:
        words: What stands behind the command.
        questions: What was given with ``-q``.

    Raises:
        DocumentError: There is no document, or one has an empty name.
        QuestionError: There is no question, or an empty one.
    """
    paths, asked = list(words), list(questions)
    if not asked and len(paths) > 1 and not _names_path(paths[-1]):
        asked = [paths.pop()]
    _check_names(paths)
    if not asked and len(paths) == 1 and not _names_path(paths[0]):
        raise DocumentError(f"{paths[0]!r} is no file or folder; name documents, then the question")
    if not asked:
        raise QuestionError(
            "there is no question; write it behind the documents, or - for standard input"
        )
    asked = [_read_stdin() if text == STDIN else text for text in asked]
    if not all(text.strip() for text in asked):
        raise QuestionError("a question is empty; write it behind the documents or -q")
    return [Path(path) for path in paths], asked


def _check_names(paths: Sequence[str]) -> None:
    if not all(path.strip() for path in paths):
        raise DocumentError(_EMPTY)
    if STDIN in paths:
        raise DocumentError("- is a question on standard input; give it once, after the documents")
    extra = next((p for p in paths[1:] if " " in p and not _names_path(p)), None)
    if extra is not None:
        raise DocumentError(f"{extra!r} is no file or folder; give several questions with -q each")


def _names_path(word: str) -> bool:
    """Return True if a word names a file, or looks like the name of one that is missing."""
    if word == STDIN:
        return False
    try:
        path = Path(word).expanduser()
        if os.path.lexists(path):
            return True
        if any(character.isspace() for character in word):
            # Names may hold blanks too: those below a folder that is there, or from the root on.
            return word.startswith(_FROM_ROOT) or (path.parent != Path() and path.parent.is_dir())
    except (OSError, ValueError, RuntimeError):  # too long for a name, say
        return False
    return os.sep in word or bool(path.suffix) or glob.has_magic(word.rstrip("?"))


def _read_stdin() -> str:
    if sys.stdin is None:
        raise QuestionError("standard input is closed; write the question after the documents")
    return sys.stdin.read().strip()
