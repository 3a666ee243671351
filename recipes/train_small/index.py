"""The contrastive term: keys of two layers as an index of pages.

A page is scored as in ColBERT, with heads that the model has already: the mean, over the tokens of
the question and the heads, of the best cosine between the question's unrotated query and the
page's unrotated keys. The question is read without any page; of each page the first four tokens,
its attention sink, are left out: they look alike in every page.
"""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from recipes.train_small.model import Reader
from recipes.train_small.rows import SINK, Piece

LAYERS = (17, 20)
BEFORE, AFTER = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
MOST_QUESTIONS = 8


def page_score(queries: Tensor, keys: Tensor) -> Tensor:
    """Score a page by its keys, both tensors being `(tokens, heads, head)`."""
    return torch.einsum("thd,shd->ths", queries, keys).amax(-1).mean()


def question_ids(tokenizer: Tokenizer, question: str) -> tuple[list[int], int]:
    """Return the ids of a question read by itself, and where the scored tokens begin."""
    before, ids, after = (
        tokenizer.encode(t, add_special_tokens=False).ids for t in (BEFORE, question, AFTER)
    )
    return before + ids + after, len(before)


def read_questions(reader: Reader, tokenizer: Tokenizer, questions: Sequence[str]) -> list[Tensor]:
    """Return the queries of some questions, each read by itself, in one pass."""
    ids: list[int] = []
    positions: list[int] = []
    pieces, spans = [], []
    for question in questions:
        own, skip = question_ids(tokenizer, question)
        span = (len(ids), len(ids) + len(own))
        pieces.append(Piece(span, (span,)))
        spans.append((span[0] + skip, span[1]))
        ids += own
        positions += range(len(own))
    depth = max(reader.index_layers) + 1
    traced = reader.read(torch.tensor([ids]), torch.tensor(positions), pieces, depth)
    return [traced.queries[0, a:b] for a, b in spans]


def contrast(
    reader: Reader,
    tokenizer: Tokenizer,
    keys: Tensor,
    pages: Sequence[tuple[int, int]],
    questions: Sequence[tuple[str, tuple[int, ...]]],
) -> tuple[Tensor, int]:
    """Return the mean loss of choosing the right page, and how many were chosen rightly.

    Args:
        reader: The model.
        tokenizer: Its tokenizer.
        keys: Keys of the row, `(length, heads, head)`.
        pages: Where the pages of the row stand.
        questions: Questions with the indices of their pages.
    """
    begin, end = pages[0][0], pages[-1][1]
    losses, right = [], 0
    for vectors, (_, golds) in zip(
        read_questions(reader, tokenizer, [q for q, _ in questions]), questions, strict=True
    ):
        similar = torch.einsum("thd,shd->ths", vectors, keys[begin:end])
        scores = torch.stack(
            [similar[..., a - begin + SINK : b - begin].amax(-1).mean() for a, b in pages]
        )
        scaled = scores * reader.adapter.temperature.exp()
        losses.append(-scaled.log_softmax(0)[list(golds)].mean())
        right += int(scores.argmax()) in golds
    return torch.stack(losses).mean(), right
