"""Reads hostile files, and one of 2,000 pages, and measures time and memory.

    python -m recipes.check_documents hostile FOLDER [--pdf pdfium] [--count 200] [--seed 0]
    python -m recipes.check_documents long [--pdf pdfium] [--pages 2000]

``hostile`` reads all files below a folder and mutations of its PDFs (``tests/helpers/mutate.py``):
every file must have a status, none may take longer than its limit, and memory stays bounded.
``long`` reads a generated PDF; its memory at page 200 and at the last page should be the same.
Memory is that of this process and its workers together, in MB, pages they share counted once.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from pace_integrations.documents import Corpus, ReadLimits, ReadOptions, ReadProgress
from pace_integrations.documents.options import PdfEngine

_SECONDS = 20.0
_LARGEST = 200_000  # bytes of a file that is worth mutating


def memory() -> float:
    """Return resident MB of this process and all below it."""
    this, size = psutil.Process(), 0
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):
            found = process.memory_full_info()
            # A child that was forked a moment ago holds all pages of its parent, and none its own.
            size += getattr(found, "pss", found.rss)
    return size / 2**20


@contextmanager
def peak() -> Iterator[list[float]]:
    """Watch the memory; the highest figure is the last of the list."""
    highest, done = [memory()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            highest.append(max(highest[-1], memory()))
            del highest[:-1]

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def plant(source: Path, target: Path, count: int, seed: int) -> None:
    """Write the files of a folder, and mutations of its PDFs, into another."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/helpers"))
    from mutate import mutants

    files = sorted(path for path in source.rglob("*") if path.is_file())
    for path in files:
        (target / f"sample-{path.name}").write_bytes(path.read_bytes())
    small = [path.read_bytes() for path in files if path.suffix == ".pdf"]
    small = [data for data in small if len(data) < _LARGEST and b"/Encrypt" not in data]
    for name, data in mutants(small, count, seed):
        (target / name).write_bytes(data)


def hostile(source: Path, engine: PdfEngine, count: int, seed: int) -> dict[str, Any]:
    """Read samples and their mutations.

    Returns:
        Files and statuses, those of each kind, the slowest files, seconds and the peak of memory.
    """
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as name:
        plant(source, Path(name), count, seed)
        planted = len(list(Path(name).iterdir()))
        start, options = time.perf_counter(), ReadOptions(ReadLimits(seconds=_SECONDS), engine)
        with peak() as highest:
            before = highest[0]
            report = Corpus.from_paths(name, options=options).report
    for file in report.files:
        kind = Path(file.path).stem.split("-")
        kinds[kind[0] if kind[0] == "sample" else kind[1]][file.status] += 1
    slowest = sorted(report.files, key=lambda file: -file.seconds)[:3]
    return {
        "files": planted,
        "without a status": planted - len(report.files),
        "statuses": report.counts(),
        "kinds": {kind: dict(counts) for kind, counts in sorted(kinds.items())},
        "longest": max(file.seconds for file in report.files),
        "slowest": {Path(file.path).name: round(file.seconds, 1) for file in slowest},
        "seconds": round(time.perf_counter() - start, 1),
        "MB before": round(before),
        "peak MB": round(highest[-1]),
    }


def long_pdf(path: Path, pages: int) -> None:
    """Write a PDF of dense pages."""
    from reportlab.pdfgen.canvas import Canvas

    chance, canvas = random.Random(1), Canvas(str(path), pagesize=(595, 842))
    words = [a + b for a in ("ka", "lo", "ter", "san", "vel") for b in ("mar", "ton", "lin", "gra")]
    for _ in range(pages):
        for line in range(48):
            text = " ".join(chance.choices(words, k=11))
            canvas.drawString(60, 790 - 15 * line, f"{text} {chance.randint(0, 999)}.")
        canvas.showPage()
    canvas.save()


def long(engine: PdfEngine, pages: int) -> dict[str, Any]:
    """Read one PDF of many pages.

    Returns:
        Status, pages read, MB at page 200 and at the last, their ratio, the peak and the speed.
    """
    seen: dict[int, float] = {}
    early = max(1, min(200, pages // 10))

    def watch(progress: ReadProgress) -> None:
        if progress.pages in (early, pages):
            seen.setdefault(progress.pages, memory())

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "long.pdf"
        long_pdf(path, pages)
        start = time.perf_counter()
        with peak() as highest:
            corpus = Corpus.from_paths(path, options=ReadOptions(pdf=engine), watch=watch)
    (file,) = corpus.report.files
    return {
        "status": file.status,
        "pages": file.pages_with_text,
        "MB": {page: round(size, 1) for page, size in seen.items()},
        "ratio": round(seen[pages] / seen[early], 3),
        "peak MB": round(highest[-1], 1),
        "pages per second": round(pages / (time.perf_counter() - start), 1),
    }


def main() -> None:
    """Run one check and print its figures."""
    parser = argparse.ArgumentParser(description="Checks the reading of documents.")
    parser.add_argument("check", choices=("hostile", "long"))
    parser.add_argument("folder", nargs="?", type=Path, help="sample files (hostile)")
    parser.add_argument("--pdf", choices=("pypdf", "pdfium"), default="pypdf")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pages", type=int, default=2000)
    given = parser.parse_args()
    if given.check == "long":
        found = long(given.pdf, given.pages)
    elif given.folder is None:
        parser.error("hostile needs a folder of sample files")
    else:
        found = hostile(given.folder, given.pdf, given.count, given.seed)
    print(json.dumps({"pdf": given.pdf, **found}, indent=1))


if __name__ == "__main__":
    main()
