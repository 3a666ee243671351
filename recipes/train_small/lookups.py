"""Look-ups on real documents: passages chosen by words, asked one by one, the best reply taken."""

import re
from pathlib import Path

import bm25s

from pace_integrations.documents import Corpus
from pace_integrations.library.passages import split_page
from recipes.train_nano import formats
from recipes.train_nano.metrics import CITATION
from recipes.train_small.reading import Answerer, Reply, load_lookups

PASSAGES = 5
THRESHOLD = 0.5


def read_document(path: Path) -> list[tuple[str, str]]:
    """Return the rendered passages of a document, divided as a library does, and their texts."""
    made = []
    for document in Corpus.from_paths([path]).documents:
        for page in document.pages:
            for passage in split_page(page.text, page.section):
                shown = formats.passage(1, document.title, page.label, passage.text)
                made.append((shown, passage.text))
    return made


def look_up(answerer: Answerer, questions: Path, folder: Path) -> tuple[str, int, dict[str, float]]:
    """Ask every look-up and count what is right, refused and confidently wrong."""
    rows = load_lookups(questions)
    read: dict[str, list[tuple[str, str]]] = {}
    counts = dict.fromkeys(
        (
            "right",
            "right page",
            "refused",
            "wrong",
            "possible",
            "supported right",
            "supported wrong",
        ),
        0,
    )
    for row in rows:
        passages = read.setdefault(row["doc"], read_document(folder / row["doc"]))
        best, text, possible = _best(answerer, passages, row)
        right = _right(best, row)
        refused = best.refusal > THRESHOLD
        counts["right"] += right and not refused
        counts["right page"] += bool(re.search(row["evidence"], " ".join(text.split())))
        counts["refused"] += refused
        counts["wrong"] += not right and not refused
        counts["possible"] += possible
        supported = best.support > THRESHOLD and not refused
        counts["supported right"] += supported and right
        counts["supported wrong"] += supported and not right
    return "look-ups", len(rows), {k: float(v) for k, v in counts.items()}


def _right(reply: Reply, row: dict[str, str]) -> bool:
    return bool(re.search(row["pattern"], CITATION.sub("", reply.insisted), re.IGNORECASE))


def _best(
    answerer: Answerer, passages: list[tuple[str, str]], row: dict[str, str]
) -> tuple[Reply, str, bool]:
    """Return the best reply, its passage, and whether any of them is right."""
    index = bm25s.BM25()
    words = [re.findall(r"\w+", shown.lower()) for shown, _ in passages]
    index.index(words, show_progress=False)
    scores = index.get_scores(re.findall(r"\w+", row["question"].lower()))
    chosen = sorted(range(len(passages)), key=lambda i: -scores[i])[:PASSAGES]
    replies = [answerer.answer([passages[i][0]], row["question"], by_page=True) for i in chosen]
    best = max(range(len(replies)), key=lambda i: replies[i].score)
    possible = any(_right(reply, row) for reply in replies)
    return replies[best], passages[chosen[best]][1], possible
