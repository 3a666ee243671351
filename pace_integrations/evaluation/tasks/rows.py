"""One question of an evaluation, with all that answering and scoring it takes. Knows no model."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pace_integrations.errors import DocumentError

Count = Callable[[str], int]

LOSS = "loss"  # the metric of rows that are predicted and not answered


@dataclass(frozen=True)
class Row:
    """One question. `to_dict` has the columns of kvpress's harness, and ours besides.

    Attributes:
        task: Name of the task.
        documents: Titles and texts in reading order; a form feed in a text starts a new page.
        question: What is asked.
        answers: Right answers; none where the documents do not say.
        answer_prefix: How the published prompt begins the answer.
        max_new_tokens: Most tokens of the answer.
        metric: Name of the metric.
        length: Tokens of the documents that were aimed at, or None.
        position: Where the answer stands, 0 (first) to 1 (last), or None.
        gold: Indices of the documents that hold the answer.
        extra: Further fields that the metric takes.
    """

    task: str
    documents: tuple[tuple[str, str], ...]
    question: str
    answers: tuple[str, ...]
    answer_prefix: str = ""
    max_new_tokens: int = 32
    metric: str = "contains"
    length: int | None = None
    position: float | None = None
    gold: tuple[int, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> str:
        """All documents in one text, as other harnesses want it."""
        return "\n\n".join(f"{title}\n{text}".strip() for title, text in self.documents)

    @property
    def reading(self) -> str:
        """Sixteen hexadecimal digits of the documents: rows with the same ones are read once."""
        whole = json.dumps(self.documents, ensure_ascii=False)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that stay the same as long as the row does."""
        whole = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, with the columns of kvpress's harness among them."""
        return {"id": self.id, "context": self.context, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """Make a row from what `to_dict` gave, or from a row of kvpress's harness.

        Raises:
            DocumentError: A column is missing.
        """
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        if "documents" not in known and "context" in values:
            known["documents"] = [("", values["context"])]
        if missing := [n for n in ("task", "documents", "question", "answers") if n not in known]:
            raise DocumentError(f"a row lacks {', '.join(missing)}; it has {', '.join(values)}")
        known["documents"] = tuple((str(t), str(x)) for t, x in known["documents"])
        for name in ("answers", "gold"):
            if name in known:
                given = known[name]
                known[name] = (given,) if isinstance(given, str) else tuple(given)
        return cls(**known)


def reorder_documents(row: Row, order: int) -> Row:
    """Return the row with its other documents in another order.

    Documents that hold the answer keep their places, so that position and length stay what they
    are. Order 0 is the row itself.
    """
    if order == 0:
        return row
    free = [i for i in range(len(row.documents)) if i not in row.gold]
    moved = random.Random(f"{row.id} {order}").sample(free, len(free))
    documents = list(row.documents)
    for place, source in zip(free, moved, strict=True):
        documents[place] = row.documents[source]
    return replace(row, documents=tuple(documents))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSON-lines file, a JSON list, or a JSON object with a list in ``data``.

    A name that ends with ``.gz`` is taken for one with gzip.

    Raises:
        DocumentError: The file cannot be read or is none of these.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        if ".json" in path.suffixes:
            whole = json.loads(text)
            return list(whole["data"] if isinstance(whole, dict) and "data" in whole else whole)
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DocumentError(f"{path} cannot be read as JSON or JSON lines: {error}") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one object per line."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")
