"""Compares the reading of PDF files with pdftotext, and its speed with that of another checkout.

    python -m recipes.bench_documents words FOLDER [FILE ...]
    python -m recipes.bench_documents speed FOLDER [FILE ...] --against CHECKOUT [--rounds 3]
    python -m recipes.bench_documents quotes FOLDER [FILE ...] [--count 278]

``words`` needs pdftotext (poppler-utils). For every file it prints the share of pdftotext's words
that are read (each as often as it stands there), the share of its sequences of five words, the same
share for the bare text of PDFium, and the numbers with separators that are lost. Sequences do not
run from page to page, since headers and footers stand between. ``speed`` reads every file by this
checkout and by another one in turn, each in a process of its own, and compares the least processor
time of several rounds, so that what else the machine does counts little. ``quotes`` takes sentences
at random from what is read, looks for each on its page and counts those that are found and could be
highlighted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pypdfium2

from pace_integrations.documents import Corpus, Document, Evidence, highlight
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.ingest import read_file
from pace_integrations.documents.quotes.alignment import occurrence_of
from pace_integrations.documents.quotes.sentences import split_sentences

T = TypeVar("T")

# Scripts without spaces are compared by their characters: the spaces are the reader's guess.
_UNSPACED = "\u2e80-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_MARK = re.compile(r" ?\^(?=\d)|-")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)+")
_LONGER = re.compile(r"\d+(?:[.,:]\d+)+\w*")
_RAISED = re.compile(r"([\w-]+) ?\^(\w+)")
_RUN = 5
_MIN_WORDS = 3
_SERVE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pace_integrations.documents.ingest import read_file
for line in sys.stdin:
    start = time.process_time()
    document, report = read_file(Path(line.rstrip("\\n")))
    seconds = time.process_time() - start
    whole = document is not None and "other engine" not in str(report)
    print(json.dumps([seconds, report.status, whole]), flush=True)
"""


def find_pdfs(places: Sequence[Path]) -> list[Path]:
    """Return the PDF files among paths and below folders."""
    found = [p for place in places for p in (place.rglob("*.pdf") if place.is_dir() else [place])]
    return sorted(path for path in found if path.is_file())


def split_words(text: str) -> list[str]:
    """Return the words of a text; hyphens, line ends and ligatures do not count."""
    text = unicodedata.normalize("NFKC", clean_characters(text)).casefold()
    return _WORD.findall(re.sub(r"-\s*\n|-", "", text))


def run_pdftotext(path: Path) -> list[str]:
    """Return what pdftotext reads, page by page."""
    command = ["pdftotext", "-enc", "UTF-8", str(path), "-"]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    return output.decode("utf-8", "replace").split("\f")[:-1]


def read_bare(path: Path) -> list[str]:
    """Return PDFium's text as it comes, page by page."""
    with closing(pypdfium2.PdfDocument(path)) as document:
        return [
            document[index].get_textpage().get_text_range().replace("\ufffe", "")
            for index in range(len(document))
        ]


def recall(wanted: Sequence[list[T]], found: Sequence[list[T]]) -> float:
    """Return the share of the pages' items that others have, each as often as it stands there."""
    kept = sum((Counter(a) & Counter(b)).total() for a, b in zip(wanted, found, strict=True))
    return kept / max(1, sum(map(len, wanted)))


def _runs(pages: Sequence[Sequence[str]]) -> list[list[tuple[str, ...]]]:
    return [list(zip(*(words[start:] for start in range(_RUN)), strict=False)) for words in pages]


def _page_texts(document: Document, count: int) -> list[str]:
    texts = {
        page.index: "\n".join(filter(None, (page.header, page.text, page.footer)))
        for page in document.pages
    }
    return [texts.get(index, "") for index in range(1, count + 1)]


def glue_raised(text: str, theirs: str) -> str:
    """Return a text with raised digits glued to what is before them where another text has it so.

    ``2^31`` is ``231`` for pdftotext, as are the marks of many notes; each as often as it has them.
    """
    left = Counter(split_words(theirs)) - Counter(split_words(text))
    drawn = {match[0] for match in _RAISED.finditer(theirs)}

    def glue(match: re.Match[str]) -> str:
        if match[0] in drawn:  # a caret that stands on the page
            return match[0]
        glued = (match[1] + match[2]).replace("-", "").casefold()
        left[glued] -= 1
        return match[1] + match[2] if left[glued] >= 0 else match[0]

    return _RAISED.sub(glue, text)


def find_lost_numbers(theirs: str, ours: str) -> Counter[str]:
    """Return the numbers with separators that pdftotext has and we have not.

    The raised mark of a note is no part of the number before it, to which pdftotext glues it
    (``0:7`` with note 7 is ``0:77``), one that it cuts at the page's edge is longer, and a hyphen
    at a line's end, which it drops, may stand between two numbers.
    """
    lost = Counter(_NUMBER.findall(theirs)) - Counter(_NUMBER.findall(ours))
    glued, wanted = (Counter(_NUMBER.findall(t)) for t in (_MARK.sub("", ours), theirs))
    longer = {*_LONGER.findall(ours), *glued} - set(_LONGER.findall(theirs))
    kept = {n for n in lost if glued[n] >= wanted[n] or any(x.startswith(n) for x in longer)}
    return Counter({number: count for number, count in lost.items() if number not in kept})


def compare_words(paths: Sequence[Path]) -> Iterator[dict[str, object]]:
    """Yield for every file how much of pdftotext's words, order and numbers is read."""
    for path in paths:
        document, report = read_file(path)
        if document is None:
            yield {"file": path.name, "status": report.status}
            continue
        theirs = run_pdftotext(path)
        ours = _page_texts(document, len(theirs))
        wanted, bare = ([split_words(text) for text in t] for t in (theirs, read_bare(path)))
        found = [split_words(glue_raised(*pair)) for pair in zip(ours, theirs, strict=True)]
        whole = "\f".join(theirs)
        lost = find_lost_numbers(whole, "\f".join(ours))
        yield {
            "file": path.name,
            "pages": report.pages,
            "words": sum(map(len, wanted)),
            "recall": round(recall(*([[*chain.from_iterable(p)]] for p in (wanted, found))), 4),
            "order": round(recall(_runs(wanted), _runs(found)), 4),
            "pdfium": round(recall(_runs(wanted), _runs(bare)), 4),
            "numbers": f"{lost.total()} of {len(_NUMBER.findall(whole))} lost",
        }


class _Checkout:
    """A process that reads files by the package of one checkout."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )

    def read(self, path: Path) -> tuple[float, str, bool]:
        """Return a file's processor seconds and status, and if the first engine read all of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path.absolute()}\n")
        self._process.stdin.flush()
        seconds, status, whole = json.loads(self._process.stdout.readline())
        return seconds, status, whole

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compare_speed(paths: Sequence[Path], against: Path, rounds: int) -> Iterator[dict[str, object]]:
    """Yield the least seconds of both checkouts for every file, and their sums.

    The second sum is that of the files which the first engine reads to their last page.
    """
    here, there = _Checkout(Path(__file__).resolve().parents[1]), _Checkout(against.resolve())
    totals = {"all": [0.0, 0.0], "first engine": [0.0, 0.0]}
    try:
        for checkout in (here, there):  # the first file pays for what is loaded once
            checkout.read(paths[0])
        for path in paths:
            times: list[list[float]] = [[], []]
            status, whole = ["", ""], [False, False]
            for turn in range(rounds):
                for side, checkout in list(enumerate((here, there)))[:: 1 if turn % 2 else -1]:
                    seconds, status[side], whole[side] = checkout.read(path)
                    times[side].append(seconds)
            best = [min(side) for side in times]
            for name in totals if whole[0] else ("all",):
                totals[name] = [a + b for a, b in zip(totals[name], best, strict=True)]
            ratio = round(best[1] / best[0], 2)
            shown = [round(1000 * seconds, 1) for seconds in best]
            yield {"file": path.name, "ms": shown[0], "before": shown[1], "times": ratio} | (
                {"status": status} if status[0] != status[1] else {}
            )
    finally:
        here.close()
        there.close()
    for name, (now, before) in totals.items():
        if not now:
            continue
        shown = [round(1000 * seconds) for seconds in (now, before)]
        yield {name: shown[0], "before": shown[1], "times": round(before / now, 2)}


def find_quotes(paths: Sequence[Path], count: int, seed: int = 0) -> dict[str, object]:
    """Return how many sentences, taken at random, are found on the pages of their files."""
    corpus = Corpus.from_paths(paths)
    chance, quotes = random.Random(seed), list[tuple[Document, Evidence]]()
    pages = [(d, page) for d, page in corpus.pages() if len(page.text) > 200]
    while len(quotes) < count:
        document, page = chance.choice(pages)
        spans = [
            (start, end)
            for start, end in split_sentences(page.text)
            if 25 <= end - start <= 300 and len(_WORD.findall(page.text, start, end)) >= _MIN_WORDS
        ]
        if spans:
            start, end = chance.choice(spans)
            place = occurrence_of(page.text, start, end)
            quotes.append((document, Evidence(page.index, page.text[start:end], place)))
    found, missed = 0, list[str]()
    for document in corpus.documents:
        mine = [evidence for owner, evidence in quotes if owner is document]
        if mine:
            boxes = highlight(document.source or "", mine)
            found += sum(map(bool, boxes))
            missed += [e.quote for e, box in zip(mine, boxes, strict=True) if not box]
    return {"quotes": len(quotes), "found": found, "missed": missed[:20]}


def main() -> None:
    """Run one comparison and print its figures, a line for each file."""
    parser = argparse.ArgumentParser(description="Compares the reading of PDF files.")
    parser.add_argument("check", choices=("words", "speed", "quotes"))
    parser.add_argument("places", nargs="+", type=Path, help="PDF files, or folders of them")
    parser.add_argument("--against", type=Path, help="checkout to compare the speed with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=278)
    given = parser.parse_args()
    paths = find_pdfs(given.places)
    if given.check == "quotes":
        print(json.dumps(find_quotes(paths, given.count), ensure_ascii=False, indent=1))
        return
    if given.check == "speed" and given.against is None:
        parser.error("speed needs another checkout: --against")
    rows = (
        compare_words(paths)
        if given.check == "words"
        else compare_speed(paths, given.against, given.rounds)
    )
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
