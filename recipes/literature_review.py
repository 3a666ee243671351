"""A literature review over PDFs: what each study says to each question, with the page, in Markdown.

    $ python -m recipes.literature_review
    ## Who carried out the study?

    - Paper 1, p. 1: “This study was carried out by Tom Rask in 2021.”
    - Paper 2, p. 1: “This study was carried out by Ines Duarte in 2019.”
    - Paper 3, p. 1: “This study was carried out by Lena Ford in 2023.”

    ## Who funded the study?

    - Paper 1, p. 1: “The study was funded by the Marine Council.”
    - Paper 2, p. 1: “The study was funded by the Coastal Trust.”
    - Paper 3, p. 1: “The study was funded by the University of Aberdeen.”

    ## How was the water temperature measured?

    - Paper 1, p. 2: “The water temperature was measured with loggers.”
    - Paper 2, p. 2: “The water temperature was measured with buoys.”
    - Paper 3, p. 2: “The water temperature was measured with satellites.”

    ## Papers

    1. Kelp forests after the warm summer (`examples/papers/kelp-forests.pdf`, 2 pages)
    2. Mussel beds of the northern firths (`examples/papers/mussel-beds.pdf`, 2 pages)
    3. Seagrass meadows and anchoring boats (`examples/papers/seagrass.pdf`, 2 pages)

Every paper is read into a session of its own: the review never gives one author's result to
another. A quote is copied from the page; where the model cited nothing and the words were found by
search, the entry says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pace_integrations import Answer, Corpus, Pace

QUESTIONS = (
    "Who carried out the study?",
    "Who funded the study?",
    "How was the water temperature measured?",
)


def review(pace: Pace, paths: Sequence[str], questions: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the review: a section for each question, then the papers."""
    corpus = Corpus.from_paths(paths)
    papers = corpus.documents
    answers = [pace.read(Corpus((paper,))).ask_many(questions) for paper in papers]
    for i, question in enumerate(questions):
        yield f"## {question}\n"
        for number, said in enumerate(answers, 1):
            yield entry(number, said[i])
        yield ""
    yield "## Papers\n"
    for number, paper in enumerate(papers, 1):
        yield f"{number}. {paper.title} (`{paper.source}`, {len(paper.pages)} pages)"
    for file in corpus.report.problems:
        yield f"- Not read in full: `{file.path}`, {file.status}. {file.remedy}"


def entry(number: int, answer: Answer) -> str:
    """Return what one paper says, and the words that support it."""
    if not answer.citations:
        return f"- Paper {number}: nothing found."
    best = answer.citations[0]
    quote = " ".join(best.quote.split())
    found = "" if best.method == "cited" else ", found by its words"
    return f"- Paper {number}, p. {best.page_label or best.page}{found}: “{quote}”"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the review to a file, or print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("papers", nargs="*", default=["examples/papers"])
    parser.add_argument("-q", "--question", action="append", help="instead of those above")
    parser.add_argument("-o", "--output", type=Path, help="a Markdown file; standard output else")
    parser.add_argument("--model", help="name or path; the embedded model by default")
    args = parser.parse_args(argv)
    with Pace.load(args.model) as pace:
        text = "\n".join(review(pace, args.papers, args.question or QUESTIONS)) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
