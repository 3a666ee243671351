"""Typesets a known text with LaTeX, LibreOffice and Chromium, for the tests of text quality.

Run it where ``pdflatex``, ``soffice`` and ``chromium`` are installed::

    python -m recipes.typeset_documents tests/typeset

It writes ``text.json``, the paragraphs in reading order, and one PDF for each program. The PDFs are
kept in the repository, so that the tests need none of these programs.
"""

from __future__ import annotations

import html
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HEADER = "Keeper's Yearbook of the Northern Lights"
FOOTER = "Printed for the harbour office"
TABLE = [
    ("Station", "Height", "Lamps", "Since"),
    ("Affric Head", "41 m", "12", "1868"),
    ("Fluffy Rock", "18 m", "3", "1902"),
    ("Wolf Office", "27 m", "7", "1911"),
]
_WHO = "keeper|assistant|inspector|visiting engineer|harbour officer|coastguard|photographer"
_DOES = "records|confirms|questions|photographs|describes|reorganises|telegraphs|estimates"
_WHAT = (
    "the efficient characteristics of the afterglow|an unusually difficult installation|"
    "the shuffled correspondence of the fishermen|a considerable misunderstanding|"
    "the international classification of signals|the responsibilities of neighbouring stations|"
    "a refreshingly straightforward explanation|the circumstances of the refurbishment"
)
_WHEN = (
    "before the official ferry leaves|in spite of overwhelming indifference|"
    "with extraordinary thoroughness|after the flood of the fifth of February|"
    "while the barometer falls uninterruptedly|at an altitude of {n} feet|"
    "for {n} pounds and fifty pence|according to paragraph {n}"
)


def paragraphs(count: int = 24, seed: int = 7) -> list[str]:
    """Return paragraphs full of ligatures and of words long enough to be broken."""
    chance = random.Random(seed)

    def sentence() -> str:
        who, does, what, when = (
            chance.choice(words.split("|")) for words in (_WHO, _DOES, _WHAT, _WHEN)
        )
        return f"The {who} {does} {what} {when.format(n=chance.randint(11, 989))}."

    return [" ".join(sentence() for _ in range(chance.randint(3, 6))) for _ in range(count)]


def _latex(texts: list[str]) -> str:
    rows = " \\\\\n".join(" & ".join(row) for row in TABLE)
    return (
        r"\documentclass[twocolumn,10pt]{article}\usepackage[T1]{fontenc}\usepackage{lmodern}"
        r"\usepackage{fancyhdr}\pagestyle{fancy}\fancyhf{}"
        rf"\fancyhead[C]{{{HEADER}}}\fancyfoot[L]{{{FOOTER}}}\fancyfoot[R]{{\thepage}}"
        "\n\\begin{document}\n"
        + "\n\n".join([*texts, rf"\noindent\begin{{tabular}}{{llll}}{rows}\end{{tabular}}"])
        + "\n\\end{document}\n"
    )


def _page(texts: list[str], *, columns: int) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in TABLE)
    style = f"body {{ columns: {columns}; text-align: justify; hyphens: auto; font-family: serif }}"
    body = "".join(f"<p>{html.escape(text, quote=False)}</p>" for text in texts)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><style>{style}</style></head>'
        f"<body>{body}<table>{rows}</table></body></html>"
    )


def _word(texts: list[str], path: Path) -> None:
    import docx
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Inches

    document = docx.Document()
    section = document.sections[0]
    section.header.paragraphs[0].text = HEADER
    section.footer.paragraphs[0].text = FOOTER
    columns = OxmlElement("w:cols")
    columns.set(qn("w:num"), "2")
    section._sectPr.append(columns)
    for text in texts:
        document.add_paragraph(text)
    table = document.add_table(len(TABLE), len(TABLE[0]))
    table.autofit = False
    for column in table.columns:
        column.width = Inches(0.7)
    for cell, text in zip(table._cells, (c for row in TABLE for c in row), strict=True):
        cell.text, cell.width = text, Inches(0.7)
    document.save(str(path))


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)


def make(target: Path) -> None:
    """Write the text and the PDFs of all three programs."""
    texts = paragraphs()
    target.mkdir(parents=True, exist_ok=True)
    facts = {"paragraphs": texts, "table": TABLE, "header": HEADER, "footer": FOOTER}
    (target / "text.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "latex.tex").write_text(_latex(texts), encoding="utf-8")
        _run(folder, "pdflatex", "-interaction=batchmode", "latex.tex")
        _word(texts, folder / "libreoffice.docx")
        _run(folder, "soffice", "--headless", "--convert-to", "pdf", "libreoffice.docx")
        for columns, file in ((1, "chromium"), (2, "chromium-columns")):
            (folder / f"{file}.html").write_text(_page(texts, columns=columns), encoding="utf-8")
            _run(
                folder,
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--print-to-pdf={file}.pdf",
                f"{file}.html",
            )
        for made in folder.glob("*.pdf"):
            (target / made.name).write_bytes(made.read_bytes())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
