"""Data sets that the user has on disk, recognized by their columns, as rows.

LongBench 1 and 2, InfiniteBench and LV-Eval in their published form, those of `reading_sets`, and
rows of kvpress's harness or of our own. Nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pace_integrations.errors import DocumentError
from pace_integrations.evaluation.published import reading_sets
from pace_integrations.evaluation.published.catalog import (
    CHOICE_SUFFIX,
    FIRST_LINE,
    INFINITE,
    LONGBENCH,
    LONGBENCH_QUESTIONS,
    LVEVAL,
)
from pace_integrations.evaluation.tasks.rows import Row, read_jsonl

_PASSAGE = re.compile(r"^(?:Passage|Paragraph|文章|段落) ?\d+[:：]?[ \n]", re.MULTILINE)

Values = Mapping[str, Any]
Documents = tuple[tuple[str, str], ...]


def load_rows(path: str | Path, *, limit: int | None = None) -> list[Row]:
    """Load the rows of a data file.

    Args:
        path: A JSON or JSON-lines file in the published form of a known data set, plain or with
            gzip (``.gz``).
        limit: Most rows to take; None takes all.

    Raises:
        DocumentError: The file cannot be read, is empty, or has columns of no known data set.
    """
    file = Path(path)
    if not file.is_file():
        raise DocumentError(f"no task and no data file {str(path)!r}")
    objects = read_jsonl(file)
    if not objects or not isinstance(objects[0], dict):
        raise DocumentError(f"{file} holds no rows")
    convert = _find_reader(objects[0], file)
    name = Path(file.name.removesuffix(".gz")).stem
    try:
        return list(islice(convert(objects, name), limit))
    except DocumentError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DocumentError(f"{file} has a row of another form: {error!r}") from error


def _find_reader(first: Values, file: Path) -> Callable[[Sequence[Values], str], Iterator[Row]]:
    for columns, convert in READERS:
        if columns <= first.keys():
            return convert
    known = "; ".join(", ".join(sorted(columns)) for columns, _ in READERS)
    raise DocumentError(f"{file} has columns {', '.join(first)}; known are: {known}")


def _read_own(objects: Sequence[Values], name: str) -> Iterator[Row]:
    return (Row.from_dict({"task": name, **values}) for values in objects)


def _read_longbench(objects: Sequence[Values], name: str) -> Iterator[Row]:
    for values in objects:
        # LongBench-E appends "_e" to names.
        task = str(values.get("dataset", name)).removesuffix("_e")
        metric, tokens = LONGBENCH.get(task, ("token_f1", 64))
        extra: dict[str, Any] = {"first_line": True} if task in FIRST_LINE else {}
        if metric == "classification":
            extra["classes"] = list(values["all_classes"])
        yield Row(
            task=task,
            documents=_split_passages(values["context"], task),
            question=_complete_question(values["input"], task),
            answers=tuple(values["answers"]),
            max_new_tokens=tokens,
            metric=metric,
            extra=extra,
        )


def _complete_question(given: str, task: str) -> str:
    """Return the question, after what the published prompt asks where rows have none."""
    asked = LONGBENCH_QUESTIONS.get(task, "")
    return f"{asked}\n\n{given}".strip()


def _read_longbench_2(objects: Sequence[Values], name: str) -> Iterator[Row]:
    for values in objects:
        choices = "\n".join(f"({letter}) {values[f'choice_{letter}']}" for letter in "ABCD")
        yield Row(
            task="longbench_v2",
            documents=(("document", values["context"]),),
            question=f"{values['question']}\n{choices}\n{CHOICE_SUFFIX}",
            answers=(values["answer"],),
            max_new_tokens=128,
            metric="stated_choice",
            extra={"domain": values.get("domain"), "difficulty": values.get("difficulty")},
        )


def _read_infinitebench(objects: Sequence[Values], name: str) -> Iterator[Row]:
    task = name.lower()
    if task not in INFINITE:
        raise DocumentError(f"name the file after its InfiniteBench task: {', '.join(INFINITE)}")
    metric, tokens = INFINITE[task]
    for values in objects:
        given, options = values["answer"], list(values.get("options") or [])
        answers = [str(a) for a in (given if isinstance(given, list) else [given])]
        question = str(values["input"])
        if options:
            letters = [chr(ord("A") + i) for i in range(len(options))]
            question += "\n" + "\n".join(f"{a}. {b}" for a, b in zip(letters, options, strict=True))
            answers = [letters[options.index(answers[0])], answers[0]]
        yield Row(
            task=task,
            documents=((task, values["context"]),),
            question=question,
            answers=tuple(answers),
            max_new_tokens=tokens,
            metric=metric,
        )


def _read_lveval(objects: Sequence[Values], name: str) -> Iterator[Row]:
    for values in objects:
        task = str(values.get("dataset", name))
        base = re.sub(r"_(16|32|64|128|256)k$", "", task)
        metric = LVEVAL.get(base, "keyword_f1")
        yield Row(
            task=task,
            documents=_split_passages(values["context"], task),
            question=values["input"],
            answers=tuple(values["answers"]),
            max_new_tokens=16 if base.startswith("factrecall") else 64,
            metric=metric,
            extra={"keywords": values.get("answer_keywords") or ""},
        )


def _split_passages(context: str, title: str) -> Documents:
    """Split a context into the passages it is made of, or leave it whole."""
    starts = [match.start() for match in _PASSAGE.finditer(context)]
    if len(starts) < 2:
        return ((title, context),)
    ends = [*starts[1:], len(context)]
    parts = [context[a:b].strip() for a, b in zip(starts, ends, strict=True)]
    lead = context[: starts[0]].strip()
    found = [_split_title(part) for part in parts]
    return (*(((title, lead),) if lead else ()), *found)


def _split_title(passage: str) -> tuple[str, str]:
    """Split title and text: a mark on its own line goes, one that may be asked for stays."""
    first, _, rest = passage.partition("\n")
    if rest and len(first.split()) == 2:
        title, _, text = rest.partition("\n")
        return (title, text) if text.strip() else (first.rstrip(":："), rest)
    return " ".join(first.split()[:2]).rstrip(":："), passage


READERS: tuple[tuple[set[str], Callable[[Sequence[Values], str], Iterator[Row]]], ...] = (
    ({"question", "answers", "context", "max_new_tokens"}, _read_own),
    ({"question", "answers", "documents"}, _read_own),
    ({"input", "context", "answers", "confusing_facts"}, _read_lveval),
    ({"input", "context", "answers", "answer_keywords"}, _read_lveval),
    ({"input", "context", "answers", "all_classes"}, _read_longbench),
    ({"question", "context", "choice_A", "choice_D", "answer"}, _read_longbench_2),
    ({"input", "context", "answer"}, _read_infinitebench),
    ({"question", "answers", "ctxs"}, reading_sets.read_marked_passages),
    ({"question", "answers", "docs"}, reading_sets.read_marked_passages),
    ({"question", "answer", "paragraphs"}, reading_sets.read_marked_passages),
    ({"ordered_kv_records", "key", "value"}, reading_sets.read_key_values),
    ({"paragraphs"}, reading_sets.read_squad),
    ({"title", "context", "question", "answers"}, reading_sets.read_squad_rows),
    ({"question", "answer", "context"}, reading_sets.read_hotpot),
)
