"""Metrics that look for one label, letter, number or key in what the model wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\d+")
_DECIMAL = re.compile(r"\d+\.\d+|\d+")
_PARAGRAPH = re.compile(r"(?:Paragraph |段落)(\d+)")
_LETTER_IN_BRACKETS = re.compile(r"The correct answer is \(([A-D])\)")
_LETTER = re.compile(r"The correct answer is ([A-D])")
_OPTION_PREFIXES = ("answer is:", "answer:", "answer is", "option is")
_WORD_BREAKS = str.maketrans(dict.fromkeys("\n:\"'.,?!{}", " "))
_CODE_BREAKS = str.maketrans(dict.fromkeys("\n.`'\":", " "))
_DEBUG_BREAKS = str.maketrans(dict.fromkeys("\n`'\"-*", " "))
_OPTION_BREAKS = str.maketrans(dict.fromkeys("\n\"'.,?!{}", " "))


def score_classification(
    prediction: str, answers: Sequence[str], *, classes: Sequence[str]
) -> float:
    """Return one over the number of classes named, if the right one is (LongBench).

    Classes that are parts of the right one do not count as named. Upstream drops them while it
    walks over the list, so that one that follows a dropped one stays; that is kept.

    Args:
        prediction: What the model wrote.
        answers: Right classes; the best counts.
        classes: All classes, in the benchmark's order.
    """
    return max((_score_class(prediction, answer, classes) for answer in answers), default=0.0)


def score_retrieval(prediction: str, answers: Sequence[str]) -> float:
    """Return the share of the numbers written that are the right paragraph's (LongBench).

    Golds read ``"Paragraph 7"`` or ``"段落7"``.
    """
    golds = [found[1] for answer in answers if (found := _PARAGRAPH.search(answer))]
    return max((_share_of_numbers(prediction, gold) for gold in golds), default=0.0)


def score_count(prediction: str, answers: Sequence[str]) -> float:
    """Return the share of the numbers written that are the right one (LongBench)."""
    return max((_share_of_numbers(prediction, answer) for answer in answers), default=0.0)


def stated_choice(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if "The correct answer is (X)" names the right letter (LongBench v2).

    Brackets may be missing, and asterisks anywhere are skipped.
    """
    bare = prediction.replace("*", "")
    found = _LETTER_IN_BRACKETS.search(bare) or _LETTER.search(bare)
    return float(found is not None and found[1] in answers)


def score_option(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the letter chosen is right (InfiniteBench En.MC).

    The letter is the first character, or follows the first of "answer is:", "answer:", "answer
    is", "option is", or is the first word that is a part of ``"ABCD"``. Golds are the letter and
    the option's text; after a prefix either counts.
    """
    if prediction[:1] and prediction[0] in "ABCD":
        return float(prediction[0] in answers)
    text = re.sub(" +", " ", prediction.translate(_OPTION_BREAKS))
    for prefix in _OPTION_PREFIXES:
        at = text.find(prefix)
        if at >= 0:
            rest = text[at + len(prefix) + 1 :]
            return float(any(rest.startswith(a) for a in answers) and bool(rest))
    word = next((word for word in text.split() if word in "ABCD"), None)
    return float(word is not None and word in answers)


def first_integer(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the first run of ASCII digits is a gold (InfiniteBench PassKey, Number)."""
    found = re.search("[0-9]+", prediction)
    return float(found is not None and found[0] in answers)


def first_number(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the first number equals a gold (InfiniteBench Math.Find); 7 and 7.0 are equal."""
    found = _DECIMAL.search(prediction)
    return float(found is not None and any(float(found[0]) == float(a) for a in answers))


def last_integer(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the last word is a whole number and a gold (InfiniteBench Code.Run)."""
    words = prediction.strip().translate(_CODE_BREAKS).split()
    try:
        return float(bool(words) and int(words[-1]) in {int(a) for a in answers})
    except ValueError:
        return 0.0


def leading_numbers(prediction: str, answers: Sequence[str]) -> float:
    """Return the share of the golds that the numbers written begin with, in order (Math.Calc)."""
    numbers = [int(n) for n in re.findall("[0-9]+", prediction)]
    right = 0
    for number, answer in zip(numbers, answers, strict=False):
        if number != int(answer):
            break
        right += 1
    return right / max(len(answers), 1)


def named_option(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the letter or the name chosen is right (InfiniteBench Code.Debug).

    The letter is at the very start, with a full stop or a colon; or the letter or the name follows
    the first of "answer is:", "is:", "answer:".

    Args:
        prediction: What the model wrote.
        answers: The letter, and the name.
    """
    if prediction[:2] in {f"{answers[0]}.", f"{answers[0]}:"}:
        return 1.0
    text = prediction.strip().replace("Option", " ").replace("option", " ")
    text = re.sub(" +", " ", text.translate(_DEBUG_BREAKS))
    for prefix in ("answer is:", "is:", "answer:"):
        at = text.find(prefix)
        if at >= 0:
            rest = text[at + len(prefix) + 1 :]
            return float(bool(rest) and any(rest.startswith(a) for a in answers))
    return 0.0


def word_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if a gold is among the words, punctuation taken for space (Retrieve.KV)."""
    words = prediction.translate(_WORD_BREAKS).split()
    return float(any(answer in words for answer in answers))


def name_match(prediction: str, answers: Sequence[str]) -> float:
    """Return `word_match` in capitals, of the first gold (InfiniteBench En.Dia)."""
    return word_match(prediction.upper(), answers[:1])


def score_label(
    prediction: str, answers: Sequence[str], *, classes: Sequence[str], question: str
) -> float:
    """Return 1 if the first sentence names the gold and no label the question lacks (BABILong).

    Args:
        prediction: What the model wrote; case does not matter.
        answers: The gold; several labels joined by commas must all be named.
        classes: All labels of the task.
        question: The question; labels in it do not count.
    """
    first = prediction.lower().split(".")[0]
    for mark in ("<context>", "<example>", "question"):
        first = first.split(mark)[0]
    named = {c.lower() for c in classes if c.lower() in first and c.lower() not in question.lower()}
    return float(any(_matches_label(answer.lower(), named, first) for answer in answers))


def _matches_label(answer: str, named: set[str], first: str) -> bool:
    if "," in answer:
        return all(part.strip() in first for part in answer.split(","))
    return named == {answer}


def _score_class(prediction: str, answer: str, classes: Sequence[str]) -> float:
    named = [name for name in classes if name in prediction]
    at = 0
    while at < len(named):
        if named[at] in answer and named[at] != answer:
            named.pop(at)
        at += 1
    return 1.0 / len(named) if answer in named else 0.0


def _share_of_numbers(prediction: str, gold: str) -> float:
    numbers = _NUMBER.findall(prediction)
    return numbers.count(gold) / len(numbers) if numbers else 0.0
