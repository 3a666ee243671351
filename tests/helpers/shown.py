"""Commands and code that papers show, run in this process and compared with what they show.

A console block, in Markdown or indented in a docstring, has lines that begin with ``$`` and below
each what it prints; ``...`` stands for anything. A Python block in Markdown may be followed by a
text block with what it prints.

    python tests/shown.py [FILE...]

puts what is printed now in the place of what a file shows, where the two differ; without files, in
all recipes and pages, as after a change of the embedded model.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import re
import runpy
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDTH = "88"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.M)
CHECKER = doctest.OutputChecker()


@dataclass(frozen=True)
class Shown:
    """A command or code, and what is shown below it.

    Attributes:
        source: The command without ``$``, or the code.
        output: What is shown, or "".
        kind: ``"console"`` or ``"python"``.
    """

    source: str
    output: str
    kind: str = "console"

    def agrees(self, printed: str) -> bool:
        """Whether what is shown is what was printed; a command may be shown without any."""
        if not self.output:
            return True
        return CHECKER.check_output(self.output, tidy(printed), doctest.ELLIPSIS)


def tidy(printed: str) -> str:
    """Output without white space at the ends of lines and of the text."""
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"


def console(block: str) -> Iterator[Shown]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield Shown(command, tidy(output) if output.strip() else "")


def in_markdown(text: str) -> Iterator[Shown]:
    """Commands and Python blocks of a Markdown file, in order."""
    blocks = list(FENCED.finditer(text))
    for i, block in enumerate(blocks):
        kind, body = block.groups()
        if kind == "console":
            yield from console(body)
        elif kind == "python":
            after = blocks[i + 1] if i + 1 < len(blocks) else None
            follows = after and after[1] == "text" and not text[block.end() : after.start()].strip()
            yield Shown(body, tidy(after[2]) if follows and after else "", "python")


def in_docstring(text: str) -> Iterator[Shown]:
    """Commands in the indented blocks of a module's docstring."""
    for block in INDENTED.findall(text):
        yield from console("\n".join(line[4:] for line in block.splitlines()) + "\n")


def run(command: str) -> str:
    """What a command prints, run in this process: ``pace``, a recipe's module or an example."""
    words = shlex.split(command)
    if words[0] == "pace":
        return printed(lambda: pace(words[1:]))
    if words[:2] == ["python", "-m"]:
        return printed(lambda: importlib.import_module(words[2]).main(words[3:]))
    if words[0] == "python":
        return printed(lambda: runpy.run_path(words[1], run_name="__main__"))
    raise ValueError(f"cannot run {command!r}")


def execute(code: str, names: dict[str, object]) -> str:
    """What a Python block prints; names live on in `names`."""
    return printed(lambda: exec(code, names))


def pace(words: list[str]) -> None:
    """The command line."""
    from pace_integrations.cli import app

    with contextlib.suppress(SystemExit):
        app(words, prog_name="pace")


def printed(act: Callable[[], object]) -> str:
    """Standard output of an act, in a terminal of fixed width."""
    out, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(out):
            act()
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def renewed(path: Path) -> str:
    """A file with what is printed now."""
    text, names = path.read_text(encoding="utf-8"), {"__name__": "shown"}
    docstring = path.suffix == ".py"
    for shown in list(in_docstring(text) if docstring else in_markdown(text)):
        now = run(shown.source) if shown.kind == "console" else execute(shown.source, names)
        if shown.output and not shown.agrees(now):
            # With what stands before it: the same words may stand elsewhere too.
            lead = "```text\n" if shown.kind == "python" else f"$ {shown.source}\n"
            old, new = lead + shown.output, lead + kept(shown.output, tidy(now))
            if docstring:
                old, new = (re.sub("^(?=.)", "    ", part, flags=re.M) for part in (old, new))
            assert old in text, f"{path}: cannot find what {shown.source!r} shows"
            text = text.replace(old, new, 1)
    return text


def kept(old: str, new: str) -> str:
    """New output with the lines of the old one that still agree, ``...`` and all."""
    before, after = (text.splitlines(keepends=True) for text in (old, new))
    if len(before) != len(after):
        return new
    pairs = zip(before, after, strict=True)
    return "".join(a if CHECKER.check_output(a, b, doctest.ELLIPSIS) else b for a, b in pairs)


def papers() -> Iterator[Path]:
    """The files whose output is compared: recipes that show theirs, and the site's pages."""
    recipes = sorted((ROOT / "recipes").glob("*.py"))
    yield from (path for path in recipes if any(s.output for s in in_docstring(path.read_text())))
    pages = sorted((ROOT / "docs/pages").rglob("*.md"))
    yield from (path for path in pages if path.parent.name != "api" and path.name != "cli.md")


def main() -> None:
    """Renews files, each in a folder of its own that has the examples."""
    for path in [Path(name).resolve() for name in sys.argv[1:]] or papers():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("examples").symlink_to(ROOT / "examples")
            text = renewed(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"renewed {path}\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
