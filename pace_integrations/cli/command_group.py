"""The root of all commands: errors in one line, and help that is folded for terminals alone."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from pace_integrations.cli.consoles import is_terminal
from pace_integrations.cli.texts import describe_error, to_line

FAILED, INTERRUPTED = 2, 130
_ENDLESS = 100_000  # columns of help that goes into a pipe


class PaceGroup(TyperGroup):
    """The command ``pace``."""

    def make_context(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - Typer's own
        """Return the context of a call, with the width of its help."""
        if not is_terminal(sys.stdout) and "COLUMNS" not in os.environ:
            extra.setdefault("terminal_width", _ENDLESS)
        return super().make_context(*args, **extra)

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        standalone_mode: bool = True,
        **options: Any,  # noqa: ANN401 - Typer's own
    ) -> object:
        """Run the command line and end the process; see the guide for the exit codes."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **options)
        sys.exit(self._run(args, options))

    def _run(self, args: Sequence[str] | None, options: dict[str, Any]) -> int:
        prepare_streams()
        try:
            code = super().main(args, standalone_mode=False, **options)
            sys.stdout.flush()  # a full disk is told now, not after the end
        except KeyboardInterrupt:
            return INTERRUPTED
        except typer.Abort:
            _print_error("nothing was done")
            return 1
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # Typer and Rich end with 1 for it
                return report_system_error(end.__context__)
            raise
        except OSError as error:
            return report_system_error(error)
        except Exception as error:
            # Which class it is depends on the version of Typer, which brings its own Click or not.
            if not hasattr(error, "format_message"):
                raise
            return _report_usage(error)
        return code if isinstance(code, int) else 0


def prepare_streams() -> None:
    """Let what a stream cannot encode or decode be no error, nor a stream that is closed."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def report_system_error(error: OSError) -> int:
    """Say in one line what the system refused, and return the exit code.

    A reader that has seen enough (``pace files | head``) is no error.
    """
    if error.errno != errno.EPIPE:
        _print_error(describe_error(error))
    _drop_output()
    return 0 if error.errno == errno.EPIPE else FAILED


def _drop_output() -> None:
    """Let what is still to be written go nowhere: the interpreter flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_usage(error: Any) -> int:  # noqa: ANN401 - an exception of Typer's or Click's
    message = error.format_message()
    if message.startswith("Usage: "):  # nothing was given, and the help is what is said
        sys.stderr.write(f"{message}\n")
        return FAILED
    words = error.ctx.command_path if error.ctx is not None else "pace"
    # Typer leaves the words of its own check in.
    message = " ".join(message.replace("Value error, ", "").split()).rstrip(".")
    _print_error(f"{message}; see {words} -h")
    return int(error.exit_code)


def _print_error(message: str) -> None:
    sys.stderr.write(f"pace: {to_line(message)}\n")
