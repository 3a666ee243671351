"""Draws what `pace ask` shows in a terminal, from a real run: `docs/pages/terminal.svg`.

    python -m recipes.make_picture [--out docs/pages/terminal.svg]

The command runs in a pseudo-terminal. Of the bars, which vanish, the last states are kept above
the answers.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = ("ask", "examples/documents", "--no-store")
QUESTIONS = ("How much does the annual service cost?", "Where is the fire assembly point?")
WIDTH = 92
_WAITS = re.compile("loading|checking the options")  # lines that are gone at the end
_SCRIPT = "from pace_integrations.entry import main; main()"


def terminal(*arguments: str) -> str:
    """Return what the shell's command writes to a terminal, escape sequences and all."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "LINES": "40", "TERM": "xterm-256color"}
    command = [sys.executable, "-c", _SCRIPT, *arguments]
    with subprocess.Popen(command, stdout=its, stderr=its, stdin=its, env=environment) as process:
        os.close(its)
        written = b"".join(_until_closed(ours))
    if process.returncode:
        raise SystemExit(written.decode())
    return written.decode()


def _until_closed(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end was closed
            return
        if not piece:
            return
        yield piece


def settled(raw: str) -> str:
    """Return the text as it stands at the end, with the bars as they were before they vanished."""
    lines = [re.split(r"\r|\x1b\[2K", line)[-1] for line in raw.replace("\r\n", "\n").split("\n")]
    plain = [re.sub(r"\x1b\[(\?25[lh]|1A)", "", line) for line in lines]
    return "\n".join(line for line in plain if line.strip() and not _WAITS.search(line))


def main() -> None:
    """Run the command and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pages/terminal.svg"))
    out = parser.parse_args().out
    asked = [word for question in QUESTIONS for word in ("-q", question)]
    text = settled(terminal(*COMMAND, *asked))
    quoted = " ".join(f'-q "{question}"' for question in QUESTIONS)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(f"[bold green]$[/] pace ask examples/documents {quoted}", highlight=False)
    console.print(Text.from_ansi(text))
    # Fonts from another server would not be shown in a README, and should not be asked for.
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="pace ask"), flags=re.S)
    out.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
