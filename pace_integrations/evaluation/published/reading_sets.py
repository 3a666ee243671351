"""Questions about passages in the published forms of reading data sets, as rows.

Lost-in-the-middle (its questions and its key-value pairs), SQuAD (by article or row by row),
HotpotQA and 2WikiMultihopQA, and MuSiQue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pace_integrations.evaluation.tasks.lookups import paginate_pairs
from pace_integrations.evaluation.tasks.rows import Row

Values = Mapping[str, Any]
Objects = Sequence[Values]

_MARKS = ("isgold", "supporting", "is_supporting")  # of a passage that holds the answer


def read_marked_passages(objects: Objects, name: str) -> Iterator[Row]:
    """Read passages that say themselves if they hold the answer, among others that do not.

    Lost-in-the-middle calls them ``ctxs``, MuSiQue ``paragraphs``, others ``docs``.
    """
    for values in objects:
        passages = next(values[key] for key in ("ctxs", "docs", "paragraphs") if key in values)
        gold = tuple(i for i, p in enumerate(passages) if any(p.get(mark) for mark in _MARKS))
        middle = "ctxs" in values
        yield Row(
            task=name,
            documents=tuple((p["title"], _passage_text(p)) for p in passages),
            question=values["question"],
            answers=_list_answers(values),
            max_new_tokens=100 if middle else 32,
            metric="best_subspan" if middle else "token_f1",
            position=_relative_position(gold, len(passages)) if len(gold) == 1 else None,
            gold=gold,
        )


def read_key_values(objects: Objects, name: str) -> Iterator[Row]:
    """Read pairs of identifiers in order, one of which is asked for (lost-in-the-middle)."""
    for values in objects:
        pairs, key = [(str(k), str(v)) for k, v in values["ordered_kv_records"]], values["key"]
        at = [k for k, _ in pairs].index(key)
        pages, gold = paginate_pairs(pairs, at)
        yield Row(
            task=name,
            documents=pages,
            question=f"What is the value of {key}?",
            answers=(values["value"],),
            answer_prefix=f'The value associated with the key "{key}" is',
            max_new_tokens=100,
            metric="contains",
            position=round(_relative_position((at,), len(pairs)), 2),
            gold=(gold,),
        )


def read_squad(objects: Objects, name: str) -> Iterator[Row]:
    """Read SQuAD as published: one row per question, among all paragraphs of its article."""
    for article in objects:
        texts = [paragraph["context"] for paragraph in article["paragraphs"]]
        title = str(article.get("title", name))
        for i, paragraph in enumerate(article["paragraphs"]):
            for asked in paragraph["qas"]:
                golds = tuple(dict.fromkeys(a["text"] for a in asked["answers"]))
                yield _build_row(name, title, texts, i, asked["question"], golds)


def read_squad_rows(objects: Objects, name: str) -> Iterator[Row]:
    """Read SQuAD row by row, as the Hub has it; rows of one title make its article."""
    texts: dict[str, dict[str, int]] = {}
    for values in objects:
        own = texts.setdefault(str(values["title"]), {})
        own.setdefault(values["context"], len(own))
    for values in objects:
        own, given = texts[str(values["title"])], values["answers"]
        golds = tuple(dict.fromkeys(given["text"] if isinstance(given, dict) else given))
        place = own[values["context"]]
        yield _build_row(name, str(values["title"]), list(own), place, values["question"], golds)


def read_hotpot(objects: Objects, name: str) -> Iterator[Row]:
    """Read HotpotQA and 2WikiMultihopQA, as published or as the Hugging Face Hub has them."""
    for values in objects:
        pairs = values["context"]
        if isinstance(pairs, dict):
            pairs = list(zip(pairs["title"], pairs["sentences"], strict=True))
        facts = values.get("supporting_facts") or []
        titles = facts["title"] if isinstance(facts, dict) else [fact[0] for fact in facts]
        yield Row(
            task=name,
            documents=tuple((title, "".join(sentences)) for title, sentences in pairs),
            question=values["question"],
            answers=(values["answer"],),
            metric="token_f1",
            gold=tuple(i for i, (title, _) in enumerate(pairs) if title in set(titles)),
        )


def _build_row(
    name: str, title: str, texts: Sequence[str], at: int, question: str, golds: tuple[str, ...]
) -> Row:
    return Row(
        task=name,
        documents=tuple((title.replace("_", " "), text) for text in texts),
        question=question,
        answers=golds,
        metric="squad_f1",
        position=_relative_position((at,), len(texts)),
        # An unanswerable question has no gold: any paragraph may move.
        gold=(at,) if golds else (),
    )


def _list_answers(values: Values) -> tuple[str, ...]:
    """Return right answers; MuSiQue has one, and other ways of writing it."""
    if "answers" in values:
        return tuple(values["answers"])
    return (values["answer"], *values.get("answer_aliases", ()))


def _passage_text(passage: Values) -> str:
    """Return the words of a passage, which MuSiQue calls by a name of its own."""
    return str(passage["text"] if "text" in passage else passage["paragraph_text"])


def _relative_position(gold: Sequence[int], count: int) -> float:
    return gold[0] / max(count - 1, 1)
