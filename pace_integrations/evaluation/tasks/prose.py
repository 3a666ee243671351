"""Prose of the user's own to predict token by token: no question, and every token counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pace_integrations.documents import Corpus
from pace_integrations.errors import ConfigError, DocumentError
from pace_integrations.evaluation.tasks.rows import LOSS, Row
from pace_integrations.evaluation.tasks.spec import TaskSpec


def make_prose(spec: TaskSpec) -> list[Row]:
    """Cut the user's own files into consecutive windows, at most as many as there is text for.

    Raises:
        ConfigError: No files are named.
        DocumentError: They hold less text than one window.
    """
    if spec.on is None:
        raise ConfigError("the task 'prose' needs texts to predict: name some with on")
    texts = (page.text for _, page in Corpus.from_paths([spec.on]).pages())
    parts = [part for text in texts for part in text.split("\n\n") if part.strip()]
    rows = list(islice(_cut_rows(parts, spec), spec.rows))
    if not rows:
        raise DocumentError(f"{spec.on} holds less text than {spec.length} tokens")
    return rows


def _cut_rows(parts: list[str], spec: TaskSpec) -> Iterator[Row]:
    window: list[str] = []
    size = 0
    for part in parts:
        window.append(part)
        size += spec.count(part)
        if size >= spec.length:
            yield Row(
                task="prose",
                documents=(("", "\n\n".join(window)),),
                question="",
                answers=(),
                metric=LOSS,
                length=spec.length,
            )
            window, size = [], 0
