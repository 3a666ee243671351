"""Look-ups on real documents: passages chosen by words, asked one by one or together, or all."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pace_integrations._bm25 import BM25
from pace_integrations.documents import Corpus
from pace_integrations.library.passages import split_page
from pace_integrations.library.selectors import split_words
from recipes.train_nano import formats
from recipes.train_nano.metrics import CITATION, split_citation
from recipes.train_small.reading import Answerer, Reply, load_lookups

PASSAGES = 5
THRESHOLD = 0.5
ROOM = 200  # tokens of a prompt besides its documents


def read_document(path: Path) -> list[tuple[str, str]]:
    """Return the rendered passages of a document, divided as a library does, and their texts."""
    made = []
    for document in Corpus.from_paths([path]).documents:
        for page in document.pages:
            for passage in split_page(page.text, page.section):
                shown = formats.passage(1, document.title, page.label, passage.text)
                made.append((shown, passage.text))
    return made


def look_up(
    answerer: Answerer, questions: Path, folder: Path, *, way: str = "each"
) -> dict[str, float]:
    """Ask every look-up and count what is right, refused and confidently wrong.

    Args:
        answerer: What answers.
        questions: The look-ups, JSON lines.
        folder: Where their documents lie.
        way: ``each`` asks the passages that words find one by one, ``together`` in one prompt,
            ``whole`` reads whole documents in full attention, where the model's context holds them.
    """
    read: dict[str, list[tuple[str, str]]] = {}
    counts: Counter[str] = Counter()
    for row in load_lookups(questions):
        if row["doc"] not in read:
            read[row["doc"]] = read_document(folder / row["doc"])
        if way == "whole":
            asked = _ask_whole(answerer, folder / row["doc"], row["question"])
            if asked is None:
                counts["too long"] += 1
                continue
            replies, text, best = asked
        else:
            chosen = choose_passages(read[row["doc"]], row["question"])
            ask = {"each": ask_each, "together": ask_together}[way]
            replies, text, best = ask(answerer, chosen, row["question"])
        right, refused = matches(replies[best].insisted, row), replies[best].refusal > THRESHOLD
        supported = replies[best].support > THRESHOLD and not refused
        counts.update(
            {
                "asked": 1,
                "right": right and not refused,
                "right page": bool(re.search(row["evidence"], " ".join(text.split()))),
                "refused": refused,
                "wrong": not right and not refused,
                "possible": any(matches(reply.insisted, row) for reply in replies),
                "supported right": supported and right,
                "supported wrong": supported and not right,
                f"{row['doc']} asked": 1,
                f"{row['doc']} right": right and not refused,
            }
        )
    return {name: float(count) for name, count in counts.items()}


def matches(answer: str, row: dict[str, str]) -> bool:
    """Say whether an answer is what a look-up wants."""
    return bool(re.search(row["pattern"], CITATION.sub("", answer), re.IGNORECASE))


class WordIndex:
    """Passages ranked by a question's words (BM25), as the library has it."""

    def __init__(self, passages: Sequence[str]) -> None:
        words = [split_words(passage) for passage in passages]
        self._index, self._size = BM25(), len(words)
        self._index.index(words, show_progress=False)
        self._known = {word for own in words for word in own}

    def scores(self, question: str) -> list[float]:
        """Return the score of every passage."""
        asked = [word for word in split_words(question) if word in self._known]
        found: list[float] = self._index.get_scores(asked).tolist() if asked else [0.0] * self._size
        return found


def choose_passages(passages: list[tuple[str, str]], question: str) -> list[tuple[str, str]]:
    """Return the passages that words find, the first ones where there are none."""
    scores = WordIndex([shown for shown, _ in passages]).scores(question)
    return [passages[i] for i in sorted(range(len(passages)), key=lambda i: -scores[i])[:PASSAGES]]


def number_passages(chosen: list[tuple[str, str]]) -> list[str]:
    """Render passages for one prompt: numbered through, where each by itself is number 1."""
    return [f"[{i + 1}] {shown.removeprefix('[1] ')}" for i, (shown, _) in enumerate(chosen)]


def ask_each(
    answerer: Answerer, chosen: list[tuple[str, str]], question: str
) -> tuple[list[Reply], str, int]:
    """Return the replies to each passage, the best reply's passage and its place."""
    replies = [answerer.answer([shown], question, by_page=True) for shown, _ in chosen]
    best = max(range(len(replies)), key=lambda i: replies[i].score)
    return replies, chosen[best][1], best


def ask_together(
    answerer: Answerer, chosen: list[tuple[str, str]], question: str
) -> tuple[list[Reply], str, int]:
    """Return the reply to all passages, and the passage that it cites."""
    reply = answerer.answer(number_passages(chosen), question, by_page=True)
    _, page = split_citation(reply.insisted)
    return [reply], chosen[page - 1][1] if page and page <= len(chosen) else "", 0


def _ask_whole(
    answerer: Answerer, path: Path, question: str
) -> tuple[list[Reply], str, int] | None:
    """Return the reply to a whole document and the page that it cites; None if it is too long."""
    pages = [(d.title, page) for d in Corpus.from_paths([path]).documents for page in d.pages]
    shown = [formats.passage(i + 1, t, p.label, p.text) for i, (t, p) in enumerate(pages)]
    tokens = sum(len(answerer.encode(text)) for text in shown)
    if tokens + ROOM > answerer.model.config.max_position_embeddings:
        return None
    reply = answerer.answer(shown, question, by_page=False)
    _, number = split_citation(reply.insisted)
    return [reply], pages[number - 1][1].text if number and number <= len(pages) else "", 0
