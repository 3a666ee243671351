"""From raw `p*.xz` prose and `qa.xz` questions to the files that composition reads."""

import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recipes.train_nano.facts import make_fact
from recipes.train_nano.tokenizer import train_tokenizer
from recipes.train_nano.values import Maker, Words

MAX_PASSAGE = 4000
MAX_ANSWER = 60
CHARACTERS_PER_FACT = 600


def raw_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read one xz-compressed JSON-lines file."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_prose(data: Path, characters: int) -> list[str]:
    """Take `characters` of prose, an equal share from every part."""
    parts = sorted(data.glob("p*.xz"))
    texts: list[str] = []
    for part in parts:
        left = characters // len(parts)
        for row in raw_rows(part):
            texts.append(row["text"])
            left -= len(row["text"])
            if left <= 0:
                break
    return texts


def usable(row: dict[str, Any]) -> bool:
    """Say whether the answer can be copied from a passage of reasonable length."""
    if not 40 <= len(row["context"]) <= MAX_PASSAGE:
        return False
    answers = row["answers"]
    return not answers or (len(answers[0]) <= MAX_ANSWER and answers[0] in row["context"])


def read_passages(data: Path) -> list[dict[str, Any]]:
    """Gather the questions of each passage; an empty answer means that it does not say."""
    passages: dict[str, dict[str, Any]] = {}
    for row in filter(usable, raw_rows(data / "qa.xz")):
        text = " ".join(row["context"].split())
        passage = passages.setdefault(text, {"title": row["title"], "text": text, "questions": []})
        answer = row["answers"][0].strip() if row["answers"] else ""
        passage["questions"].append([row["question"].strip(), " ".join(answer.split())])
    return list(passages.values())


def frequent_words(texts: list[str], pattern: str, count: int) -> list[str]:
    """Return the `count` most frequent words that match `pattern`."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(re.findall(pattern, text))
    return [word for word, _ in counts.most_common(count)]


def read_words(texts: list[str]) -> Words:
    """Find common nouns-or-so and capitalised words, the material of planted names."""
    lower = frequent_words(texts, r"(?<=[a-z] )[a-z]{4,10}(?=[ ,.])", 4000)
    upper = frequent_words(texts, r"(?<=[a-z] )[A-Z][a-z]{2,9}(?=[ ,.])", 4000)
    return Words(lower[200:] or lower, upper)


def fact_sample(words: Words, count: int) -> list[str]:
    """Planted facts, so that the words of their templates are whole tokens."""
    maker = Maker(np.random.default_rng(0), words)
    facts = (make_fact(maker) for _ in range(count))
    return [f"{fact.statement} {fact.question}" for fact in facts]


def write_rows(path: Path, rows: list[Any]) -> None:
    """Write JSON lines."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def prepare(data: Path, out: Path, *, characters: int, vocabulary: int) -> None:
    """Write tokenizer, passages, prose and words into `out`, once."""
    if (out / "tokenizer.json").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    prose, passages = read_prose(data, characters), read_passages(data)
    write_rows(out / "prose.jsonl", prose)
    write_rows(out / "passages.jsonl", passages)
    words = read_words(prose[:20_000])
    (out / "words.json").write_text(json.dumps(asdict(words)), encoding="utf-8")
    sample = prose[:: max(1, characters // 30_000_000)]
    questions = [q for p in passages[::3] for q, _ in p["questions"]]
    planted = fact_sample(words, characters // CHARACTERS_PER_FACT)
    # The tokenizer comes last: its presence says that everything else is complete.
    tokenizer = train_tokenizer(sample + questions + planted, vocabulary)
    tokenizer.save(str(out / "tokenizer.json"))
