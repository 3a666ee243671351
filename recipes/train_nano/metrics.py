"""How answers are scored: the usual measures of extractive question answering."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from recipes.train_nano.formats import UNANSWERABLE

CITATION = re.compile(r"\[(\d+)\]")


def normalised(text: str) -> str:
    """Lower case without articles, punctuation and surplus white space."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def split_citation(reply: str) -> tuple[str, int | None]:
    """Part a reply into its answer and the last passage that it cites."""
    numbers = CITATION.findall(reply)
    return CITATION.sub("", reply).strip(), int(numbers[-1]) if numbers else None


def exact(answer: str, golds: Sequence[str]) -> float:
    """1 where the answer is one of `golds`."""
    return float(any(normalised(answer) == normalised(gold) for gold in golds))


def contains(answer: str, golds: Sequence[str]) -> float:
    """1 where the answer contains one of `golds`."""
    return float(any(normalised(gold) in normalised(answer) for gold in golds))


def token_f1(answer: str, golds: Sequence[str]) -> float:
    """Best overlap of words with one of `golds`."""
    return max((_f1(normalised(answer).split(), normalised(g).split()) for g in golds), default=0.0)


def _f1(answer: list[str], gold: list[str]) -> float:
    common = (Counter(answer) & Counter(gold)).total()
    return 2 * common / (len(answer) + len(gold)) if common else 0.0


def refuses(answer: str) -> bool:
    """Say whether the reply is that the documents do not say."""
    return normalised(UNANSWERABLE) in normalised(answer)
