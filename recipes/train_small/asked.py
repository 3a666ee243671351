"""Questions with known answers, asked as a library asks, with what is known of each answer.

Questions about articles are of three kinds: the article answers them (`known`), the passages that
hold an answer are left out (`absent`), or a word of the question was changed so that the article
does not answer it (`altered`: the unanswerable ones of SQuAD 2.0). Look-ups are about real
documents (`look-up`), also without the passages that answer them (`absent look-up`).
"""

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from pace_integrations.library.passages import split_page
from pace_integrations.library.profile import Signals
from pace_integrations.library.signals import is_negated_alone, measure_coverage
from recipes.train_nano import formats, metrics
from recipes.train_nano.tasks import read_rows
from recipes.train_small.lookups import (
    PASSAGES,
    THRESHOLD,
    ask_each,
    ask_together,
    choose_passages,
    load_lookups,
    matches,
    read_document,
)
from recipes.train_small.reading import Answerer, Reply

ARTICLES = ("known", "absent", "altered")
LOOKUPS = ("look-up", "absent look-up")
SEED = 11
RIGHT_OVERLAP = 0.5
COMPARED = 2  # candidates of a question whose support a library compares
BY_HAND = Path(__file__).with_name("judged.json")  # answers whose label is wrong, by their hash

Passages = list[tuple[str, str]]  # as the model is shown them, and their texts


@dataclass(frozen=True)
class Judged:
    """An answer with what is known of it.

    Args:
        signals: What is known.
        right: Whether it is right.
    """

    signals: Signals
    right: bool

    @property
    def refused(self) -> bool:
        """Return True where a library refuses to answer instead."""
        return self.signals.refusal > THRESHOLD


@dataclass(frozen=True)
class Asked:
    """A question that was asked.

    Args:
        kind: One of `ARTICLES` or `LOOKUPS`.
        question: The question.
        candidates: The answers whose support a library compares, the best score first.
        together: Whether the passages stood in one prompt, which has one answer.
    """

    kind: str
    question: str
    candidates: list[Judged]
    together: bool = False


def ask(
    answerer: Answerer,
    kind: str,
    passages: Passages,
    question: str,
    is_right: Callable[[str], bool],
) -> list[Asked]:
    """Ask in both ways that a library has: each of the best passages, and all of them together."""
    chosen = choose_passages(passages, question)
    replies, _, _ = ask_each(answerer, chosen, question)
    ranked = sorted(range(len(replies)), key=lambda i: -replies[i].score)[:COMPARED]
    alone = [_judge(replies[i], [chosen[i][1]], question, is_right, replies) for i in ranked]
    (reply,), _, _ = ask_together(answerer, chosen, question)
    together = _judge(reply, [text for _, text in chosen], question, is_right)
    return [Asked(kind, question, alone), Asked(kind, question, [together], together=True)]


def _judge(
    reply: Reply,
    texts: Sequence[str],
    question: str,
    is_right: Callable[[str], bool],
    others: Sequence[Reply] = (),
) -> Judged:
    """Return a reply with what a library knows of it; `others` are all that were asked the same."""
    answer, _ = metrics.split_citation(reply.insisted)
    signals = Signals(
        reply.likelihood,
        reply.refusal,
        reply.support,
        coverage=measure_coverage(question, texts),
        refusals=tuple(one.refusal for one in others),
        negated=is_negated_alone(question, texts),
        question_gain=reply.question - fmean(one.question for one in others) if others else None,
        together=not others,
    )
    return Judged(signals, is_right(answer))


def ask_articles(answerer: Answerer, path: Path, count: int) -> list[Asked]:
    """Ask questions of SQuAD 2.0 about whole articles, and about what is left without the answer.

    Args:
        answerer: What answers.
        path: The rows.
        count: How many of them are asked.
    """
    rows = read_rows(path, 100_000)
    passages, by_hand = _divide_articles(rows), json.loads(BY_HAND.read_text(encoding="utf-8"))
    asked: list[Asked] = []
    for row in _mix(rows)[:count]:
        question, own = row["question"], passages[row["title"]]
        right = partial(_is_right, row, by_hand)
        kind = "known" if row["answers"] else "altered"
        asked += ask(answerer, kind, own, question, right)
        rest = [one for one in own if not _holds(one[1], row["answers"])]
        if PASSAGES <= len(rest) < len(own):
            asked += ask(answerer, "absent", rest, question, lambda answer: False)
    return asked


def _divide_articles(rows: Sequence[Mapping[str, Any]]) -> dict[str, Passages]:
    articles: dict[str, dict[str, None]] = {}
    for row in rows:
        articles.setdefault(row["title"], {})[row["context"]] = None
    return {
        title: [
            (formats.passage(1, title, None, part.text), part.text)
            for context in contexts
            for part in split_page(context)
        ]
        for title, contexts in articles.items()
    }


def _is_right(row: Mapping[str, Any], by_hand: Mapping[str, bool], answer: str) -> bool:
    """Compare an answer with the label, unless the label was found wrong for it."""
    overlaps = bool(row["answers"]) and metrics.token_f1(answer, row["answers"]) > RIGHT_OVERLAP
    return by_hand.get(hash_answer(row["question"], answer), overlaps)


def hash_answer(question: str, answer: str) -> str:
    """Return the key of an answer that was judged by hand."""
    return hashlib.sha256(f"{question}\n{answer}".encode()).hexdigest()[:12]


def _holds(text: str, answers: Iterable[str]) -> bool:
    """Return True if a text holds one of some answers, word for word."""
    return any(_join_words(answer) in _join_words(text) for answer in answers)


def _join_words(text: str) -> str:
    return " ".join(["", *re.findall(r"\w+", text.lower()), ""])


def _mix(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return two answerable questions to each unanswerable one, in a fixed random order."""
    random.Random(SEED).shuffle(rows)
    known, unknown = [r for r in rows if r["answers"]], [r for r in rows if not r["answers"]]
    triples = zip(known[::2], known[1::2], unknown, strict=False)
    return [row for triple in triples for row in triple]


def ask_lookups(answerer: Answerer, questions: Path, folder: Path) -> list[Asked]:
    """Ask look-ups on real documents, which no curve was fitted on, with and without the answer."""
    read: dict[str, Passages] = {}
    asked: list[Asked] = []
    for row in load_lookups(questions):
        if row["doc"] not in read:
            read[row["doc"]] = read_document(folder / row["doc"])
        question, own = row["question"], read[row["doc"]]
        right = partial(matches, row=row)
        asked += ask(answerer, "look-up", own, question, right)
        rest = [one for one in own if not _tells(one[1], row)]
        if len(rest) >= PASSAGES:
            asked += ask(answerer, "absent look-up", rest, question, lambda answer: False)
    return asked


def _tells(text: str, row: Mapping[str, str]) -> bool:
    """Return True if a passage holds the answer of a look-up, or where it stands."""
    return bool(
        re.search(row["evidence"], " ".join(text.split()))
        or re.search(row["pattern"], text, re.IGNORECASE)
    )


def load_asked(path: Path | None) -> list[Asked]:
    """Return questions that were kept, none where there is no file."""
    if path is None or not path.exists():
        return []
    return [
        Asked(
            kept["kind"],
            kept["question"],
            [Judged(_load_signals(one["signals"]), one["right"]) for one in kept["candidates"]],
            kept["together"],
        )
        for kept in json.loads(path.read_text(encoding="utf-8"))
    ]


def _load_signals(kept: dict[str, Any]) -> Signals:
    return Signals(**{**kept, "refusals": tuple(kept["refusals"])})


def save_asked(path: Path | None, asked: Sequence[Asked]) -> None:
    """Keep questions with their answers, where there is a place for them."""
    if path is not None:
        path.write_text(json.dumps([asdict(one) for one in asked]), encoding="utf-8")
