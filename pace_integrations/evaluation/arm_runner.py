"""One arm at work: loads the model, reads a row's documents, asks, and scores the answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import torch

from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig, Overflow, Quantization, ReadConfig
from pace_integrations.documents import Corpus
from pace_integrations.evaluation.arms import Arm
from pace_integrations.evaluation.metrics.citations import citation_precision, citation_recall
from pace_integrations.evaluation.metrics.registry import score_prediction
from pace_integrations.evaluation.tasks import Row, reorder_documents
from pace_integrations.evaluation.tasks.rows import LOSS
from pace_integrations.memory import MemoryState
from pace_integrations.model.loading import LoadSettings, load_model
from pace_integrations.model.prompts import UNANSWERABLE
from pace_integrations.session import Pace, Session

_BLOCK = 256  # tokens predicted in one forward, whose logits are held
_MARK = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")


@dataclass(frozen=True)
class RunSettings:
    """Settings that all arms have in common.

    Attributes:
        model: Name or path; None is the embedded model.
        dtype: As in `Pace.load`.
        device: As in `Pace.load`.
        quantization: As in `Pace.load`.
        overflow: As in `Pace.load`.
        context: As in `Pace.load`.
        ahn: As in `Pace.load`.
        chunk: Tokens of one prefill forward.
        share: Budget of the arms that choose documents, as a share of the row's tokens.
        max_new_tokens: Upper bound on the rows' own lengths of answers.
        batch: Most questions about the same documents that are answered together, each as if it
            were asked alone; see `Session.ask_many`. Records then have no counts of the memory.
        prefix: Whether the question ends with the row's `answer_prefix`. A session opens the
            answer's turn itself, so the prefix cannot stand there as in the published prompts.
    """

    model: str | None = None
    dtype: str = "auto"
    device: str | None = None
    quantization: Quantization | None = None
    overflow: Overflow = "error"
    context: int | None = None
    ahn: str | None = None
    chunk: int = 1024
    share: float = 0.25
    max_new_tokens: int = 128
    batch: int = 1
    prefix: bool = False


@dataclass(frozen=True)
class _Shown:
    """A row as an arm is shown it.

    Attributes:
        row: The row.
        order: Order of its documents.
        documents: Titles and texts of those that the arm reads.
        gold: Numbers, from 1, of those of them that hold the answer.
        generation: How it is answered; None where its tokens are predicted.
    """

    row: Row
    order: int
    documents: tuple[tuple[str, str], ...]
    gold: frozenset[int]
    generation: GenerationConfig | None

    @property
    def group(self) -> object:
        """Return what rows share that are answered together."""
        alone = self.row.id if self.generation is None else None
        return self.documents, self.generation, alone


class ArmRunner:
    """A model under one arm. Greedy throughout.

    Args:
        arm: The arm.
        setting: What it has in common with the others.

    Raises:
        PaceError: The model cannot be loaded, or the arm has no place in it.
    """

    def __init__(self, arm: Arm, setting: RunSettings) -> None:
        self.arm = arm
        self.setting = setting
        settings = LoadSettings(
            dtype=setting.dtype,
            device=setting.device,
            quantization=setting.quantization,
            overflow=setting.overflow,
            context=setting.context,
            ahn=setting.ahn,
        )
        loaded = load_model(setting.model, settings)
        self.network = loaded.model
        self.pace = Pace(loaded, arm.memory)
        self._revision = loaded.revision
        self._control = arm.attach(loaded.model, arm.memory) if arm.attach else None
        self._held: tuple[list[tuple[str, str]], Session] | None = None  # what was read last

    def close(self) -> None:
        """Take everything off the model and end its thread."""
        if self._control is not None:
            self._control.remove()
        self.pace.close()

    def answer(self, row: Row, order: int = 0) -> dict[str, Any]:
        """Answer and score a row with its documents in one order.

        Returns:
            A JSON-ready record.
        """
        return self._answer_group([self._show_documents(row, order)])[0]

    def answer_rows(self, jobs: Sequence[tuple[Row, int]]) -> Iterator[dict[str, Any]]:
        """Yield the records of rows, as many of them answered together as the setting allows.

        Args:
            jobs: Rows with the order of their documents.
        """
        if self.setting.batch == 1:
            yield from (self.answer(row, order) for row, order in jobs)
            return
        shown = (self._show_documents(row, order) for row, order in jobs)
        for _, group in groupby(shown, lambda one: one.group):
            rows = list(group)
            for first in range(0, len(rows), self.setting.batch):
                yield from self._answer_group(rows[first : first + self.setting.batch])

    def _answer_group(self, held: Sequence[_Shown]) -> list[dict[str, Any]]:
        """Answer rows that are shown the same documents."""
        asked = held[0].generation is not None
        found = self._ask(held) if asked else [self._predict(held[0].row)]
        return [
            {**self._describe(shown), **measured}
            for shown, measured in zip(held, found, strict=True)
        ]

    def _describe(self, shown: _Shown) -> dict[str, Any]:
        row = shown.row
        return {
            "arm": self.arm.name,
            "revision": self._revision,
            "id": row.id,
            "reading": row.reading,
            "order": shown.order,
            "task": row.task,
            "length": row.length,
            "position": row.position,
            "metric": row.metric,
            "answers": list(row.answers),
            "extra": dict(row.extra),
        }

    def _predict(self, row: Row) -> dict[str, Any]:
        """Measure how well the tokens of a row are predicted; its second half is its score.

        The score is the loss in nats with a minus sign, so that more is better.
        """
        engine = self.pace._engine
        ids = engine.prompts.encode_text(row.documents[0][1])
        limit = row.length or len(ids)
        # A window has no end; otherwise positions end with the model's context.
        ids = ids[: limit if engine.window else min(limit, self.pace.context_window)]
        context, start = engine.new_context(), time.perf_counter()
        with closing(engine.thread.stream(engine.read_losses(ids, context, chunk=_BLOCK))) as parts:
            losses = torch.cat([part.double().cpu() for part in parts])
        half = len(losses) // 2 // _BLOCK * _BLOCK  # so that the blocks give the score again
        blocks = [round(float(part.mean()), 6) for part in losses.split(_BLOCK)]
        counts = context.memory.total_counts() if isinstance(context.memory, MemoryState) else None
        return {
            "prediction": "",
            "score": -float(losses[half:].mean()),
            "block": _BLOCK,
            "losses": blocks,
            "citation_precision": None,
            "citation_recall": None,
            "tokens": len(ids),
            "output_tokens": 0,
            "finish": None,
            "read_seconds": round(time.perf_counter() - start, 4),
            "answer_seconds": 0.0,
            "memory": dict(zip(("high", "medium", "low"), counts, strict=True)) if counts else None,
        }

    def _show_documents(self, row: Row, order: int) -> _Shown:
        """Return a row's documents in an order, as many of them as the arm chooses."""
        if row.metric == LOSS:
            return _Shown(row, order, (), frozenset(), None)
        turned = reorder_documents(row, order)
        chosen = self._select_documents(turned)
        documents = tuple(turned.documents[i] for i in chosen)
        gold = frozenset(chosen.index(i) + 1 for i in turned.gold if i in chosen)
        return _Shown(row, order, documents, gold, self._generation_config(row))

    def _ask(self, held: Sequence[_Shown]) -> list[dict[str, Any]]:
        """Read documents, ask the questions of some rows about them, and score the answers."""
        start = time.perf_counter()
        session = self._read(list(held[0].documents))
        read, start = time.perf_counter() - start, time.perf_counter()
        questions = [self._build_question(shown.row) for shown in held]
        if len(held) == 1:  # alone it has counts of the memory
            answers = [session.ask(questions[0], generation=held[0].generation)]
        else:
            answers = session.ask_many(questions, generation=held[0].generation, batch=len(held))
        seconds = (time.perf_counter() - start) / len(held)
        return [
            {
                "prediction": answer.text,
                **score_row(shown.row, answer.text),
                **_score_citations(answer, set(shown.gold), bool(shown.row.gold)),
                "tokens": session.tokens,
                "output_tokens": answer.usage.output_tokens,
                "finish": answer.finish_reason,
                "read_seconds": round(read, 4) if i == 0 else 0.0,
                "answer_seconds": round(seconds, 4),
                "memory": asdict(answer.memory) if answer.memory else None,
            }
            for i, (shown, answer) in enumerate(zip(held, answers, strict=True))
        ]

    def _read(self, documents: list[tuple[str, str]]) -> Session:
        """Read documents, or return the last reading where it is of the same ones."""
        if self._held is None or self._held[0] != documents:
            self._held = None  # not two readings at once
            read = self.pace.read(Corpus.from_texts(documents), config=self._read_config())
            self._held = documents, read
        return self._held[1]

    def _select_documents(self, row: Row) -> list[int]:
        if self.arm.select is None:
            return list(range(len(row.documents)))
        count = self.pace.count_tokens
        whole = sum(count(f"{title}\n{text}") for title, text in row.documents)
        return list(self.arm.select(row, int(whole * self.setting.share), count))

    def _build_question(self, row: Row) -> str:
        prefix = row.answer_prefix if self.setting.prefix else ""
        return f"{row.question} {prefix}".strip()

    def _read_config(self) -> ReadConfig:
        chunk = self.pace.context_window if self.arm.one_pass else self.setting.chunk
        return ReadConfig(chunk=chunk, reserve=1, checkpoints=0)

    def _generation_config(self, row: Row) -> GenerationConfig:
        limit = min(row.max_new_tokens, self.setting.max_new_tokens)
        return GenerationConfig(max_new_tokens=limit)


def strip_citations(prediction: str) -> str:
    """Return a prediction without its citation marks, which are scored apart.

    The sentence with which a model is told to refuse is silence, as benchmarks score it.
    """
    said = _MARK.sub("", prediction).strip()
    return "" if said.rstrip(".") == UNANSWERABLE.rstrip(".") else said


def score_row(row: Row, prediction: str) -> dict[str, float]:
    """Return the row's own metric of a prediction."""
    return {
        "score": score_prediction(row.metric, strip_citations(prediction), row.answers, row.extra)
    }


def _score_citations(answer: Answer, gold: set[int], known: bool) -> dict[str, float | None]:
    """Return citation precision and recall, where it is known which documents hold the answer."""
    if not known:
        return {"citation_precision": None, "citation_recall": None}
    named = {c.passage for c in answer.citations if c.method == "cited"}
    return {
        "citation_precision": citation_precision(named, gold),
        "citation_recall": citation_recall(named, gold),
    }
