"""Rows as arrays of one length, for a forward that takes many rows at once.

What a row's pieces say is written out as one mask, a bit for every pair of tokens; it is right for
every kind of row, and a process of its own can make it while the accelerator computes.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recipes.train_small.index import question_ids
from recipes.train_small.rows import SINK, Row

KINDS = ("answer", "refusal", "verdict")
MARGIN = 192  # a row's last unit may be longer than was estimated
LONGEST_QUESTION = 96  # tokens, those of its turn included
QUESTIONS = 3  # of a row, for the index
AHEAD = 4  # batches that a process makes ahead
Compose = Callable[[int, int, int], Row]


@dataclass(frozen=True)
class Batch:
    """Rows of one length.

    Args:
        ids: Token ids, `(rows, length)`.
        positions: Position of each token, same shape.
        weights: Weight of each token in the loss, same shape.
        visible: Bits of `(rows, length, length)`: which query (second) sees which key (third).
        pages: Number of each token's page from 1 on, 0 elsewhere and in a page's sink.
        marks: First token of each reply, `(count, 3)`: row, place, index in `KINDS`.
        questions: Token ids of questions read by themselves, `(count, width)`.
        asked: Of each question: row, first and last token that is scored, `(count, 3)`.
        golds: Which pages answer it, `(count, pages)`.
    """

    ids: NDArray[np.int32]
    positions: NDArray[np.int32]
    weights: NDArray[np.float32]
    visible: NDArray[np.uint8]
    pages: NDArray[np.int16]
    marks: NDArray[np.int32]
    questions: NDArray[np.int32]
    asked: NDArray[np.int32]
    golds: NDArray[np.bool_]


def make_batch(tokenizer: Tokenizer, rows: Sequence[Row], length: int, seed: str) -> Batch:
    """Write rows as arrays; what is beyond the length is cut off.

    Args:
        tokenizer: The base's tokenizer, for the questions of the index.
        rows: The rows.
        length: Length of the arrays, a multiple of 8.
        seed: Seed of the choice of questions.
    """
    count, rng = len(rows), random.Random(seed)
    ids, positions = (np.zeros((count, length), np.int32) for _ in range(2))
    weights, pages = np.zeros((count, length), np.float32), np.zeros((count, length), np.int16)
    visible = np.zeros((count, length, length), np.bool_)
    visible[:, np.arange(length), np.arange(length)] = True  # padding sees itself
    marks, asked, questions, golds = [], [], [], []
    for i, row in enumerate(rows):
        own = min(len(row.ids), length)
        ids[i, :own], positions[i, :own] = row.ids[:own], row.positions[:own]
        weights[i, :own] = row.weights[:own]
        _write_mask(visible[i], row, length)
        whole = [span for span in row.pages if span[1] <= length]
        for number, (begin, end) in enumerate(whole):
            pages[i, begin + SINK : end] = number + 1
        marks += [(i, at, KINDS.index(kind)) for kind, at in row.marks if at < length]
        fitting = [q for q in row.questions if max(q[1]) < len(whole)]
        chosen = rng.sample(fitting, min(len(fitting), QUESTIONS)) if len(whole) > 2 else []
        for question, gold in chosen:
            own_ids, skip = question_ids(tokenizer, question)
            if len(own_ids) > LONGEST_QUESTION:
                continue
            questions.append(own_ids)
            asked.append((i, skip, len(own_ids)))
            golds.append(gold)
    width = max((len(own_ids) for own_ids in questions), default=1)
    answers = np.zeros((len(golds), int(pages.max()) + 1), np.bool_)
    for at, gold in enumerate(golds):
        answers[at, [g + 1 for g in gold]] = True
    return Batch(
        ids, positions, weights, np.packbits(visible, -1), pages,
        np.array(marks, np.int32).reshape(-1, 3),
        np.array([q + [0] * (width - len(q)) for q in questions], np.int32).reshape(-1, width),
        np.array(asked, np.int32).reshape(-1, 3), answers,
    )  # fmt: skip


def _write_mask(visible: NDArray[np.bool_], row: Row, length: int) -> None:
    """Let the queries of each piece see its keys, causally among their own."""
    for piece in row.pieces:
        begin, end = piece.queries
        stop = min(end, length)
        if begin >= length:
            continue
        at = 0
        for first, last in piece.keys:
            cut = min(last, length)
            if first >= cut:
                continue
            target = visible[begin:stop, first:cut]
            if piece.mask is not None:
                seen = piece.mask[: stop - begin, at : at + cut - first].numpy()
                target |= seen
            elif (first, last) == (begin, end) or first <= begin < last:
                target |= np.tri(stop - begin, cut - first, begin - first, dtype=np.bool_)
            else:
                target |= True
            at += last - first


@dataclass(frozen=True)
class BatchPlan:
    """What the batches of a training are.

    Args:
        tokens: Tokens of a batch.
        lengths: Tokens of each row of a batch, in turn from step to step.
    """

    tokens: int
    lengths: tuple[int, ...]

    def length(self, step: int) -> int:
        """Return the length of the rows of a step."""
        return self.lengths[step % len(self.lengths)]


def compose_batch(compose: Compose, tokenizer: Tokenizer, plan: BatchPlan, step: int) -> Batch:
    """Compose the batch of a step; the same for the same step."""
    length = plan.length(step)
    count = max(1, plan.tokens // length)
    rows = [compose(step, i, length - MARGIN) for i in range(count)]
    return make_batch(tokenizer, rows, length, str(step))


_composer: tuple[Compose, Tokenizer, BatchPlan] | None = None  # of a process of the pool


def _compose_here(step: int) -> Batch:
    assert _composer is not None
    return compose_batch(*_composer, step)


def stream_batches(
    compose: Compose, tokenizer: Tokenizer, plan: BatchPlan, steps: range, processes: int
) -> Iterator[Batch]:
    """Yield the batch of every step in order, made by processes that run ahead.

    Args:
        compose: Makes the row of a step, an index and a length.
        tokenizer: The base's tokenizer.
        plan: What the batches are.
        steps: The steps.
        processes: Number of processes; 0 makes them here.
    """
    global _composer
    if not processes:
        yield from (compose_batch(compose, tokenizer, plan, step) for step in steps)
        return
    _composer = compose, tokenizer, plan  # forked processes share it, nothing is pickled
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        waiting: list[Future[Batch]] = []
        left = iter(steps)
        try:
            while True:
                while len(waiting) < processes * AHEAD and (step := next(left, None)) is not None:
                    waiting.append(pool.submit(_compose_here, step))
                if not waiting:
                    return
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
