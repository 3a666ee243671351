"""Five questions over one document, asked of two sides in turns: what the comparisons share.

Both sides run in one process with the same weights, precision and threads, greedily, and get the
same words in the same order: instruction, document, question. Theirs puts the document into every
prompt, which is the only way it has; ours reads it once and its total includes that. Rounds
alternate which side goes first; medians are printed. Totals are also given as CPU time of this
process, which other work on the machine does not stretch.
The more a model computes for every token, the less the fixed cost of a step counts: `--size` makes
a larger one of random weights, whose time does not depend on what is in them.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pace_integrations import MemoryConfig, Pace
from pace_integrations.model.loading import EMBEDDED

ROOMS = ("kitchen", "attic", "cellar", "library", "workshop")
QUESTIONS = [f"What is the code of the {room}?" for room in ROOMS]
FILLER = (
    "The house stands on a slope above the river, and its windows look west. "
    "In winter the gardener covers the roses with straw and closes the lower gate. "
    "Every spring the roof is inspected, the gutters are cleaned and the fences painted. "
)
PAGE_TOKENS = 400


@dataclass
class Round:
    """Seconds that one side took.

    Attributes:
        total: From nothing read to the last word of the last answer.
        cpu: The same in CPU time of this process.
        first: From each question to its first piece of text.
        answers: What was said.
    """

    total: float
    cpu: float
    first: list[float]
    answers: list[str]


def pages_of(count: Callable[[str], int], tokens: int) -> list[str]:
    """Return pages of a document of about `tokens` tokens, in which five facts stand far apart."""
    filler = FILLER * max(1, PAGE_TOKENS // count(FILLER))
    number = max(len(ROOMS), round(tokens / count(filler)))
    pages = [filler] * number
    for i, room in enumerate(ROOMS):
        at = i * number // len(ROOMS)
        pages[at] += f"The code of the {room} is {7130 + 411 * i}."
    return pages


def clocks() -> tuple[float, float]:
    """Return now, on the wall and in CPU time of this process."""
    return time.perf_counter(), time.process_time()


def measured(ask: Callable[[str], Any], start: tuple[float, float]) -> Round:
    """Ask all questions of something that streams pieces of text."""
    first, answers = [], []
    for question in QUESTIONS:
        asked = time.perf_counter()
        pieces, seen = [], None
        for piece in ask(question):
            if piece and seen is None:
                seen = time.perf_counter() - asked
            pieces.append(piece)
        first.append(seen if seen is not None else time.perf_counter() - asked)
        answers.append("".join(pieces))
    now = clocks()
    return Round(now[0] - start[0], now[1] - start[1], first, answers)


def random_checkpoint(size: str, folder: str) -> str:
    """Save random weights of ``WIDTHxLAYERS`` with the embedded model's tokenizer."""
    torch.manual_seed(0)
    width, layers = map(int, size.split("x"))
    config = AutoConfig.from_pretrained(
        EMBEDDED,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        layer_types=["full_attention"] * layers,
        num_attention_heads=width // 64,
        num_key_value_heads=max(width // 128, 1),
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    return folder


def report(mine: list[Round], other: list[Round], tokens: int) -> dict[str, Any]:
    """Return medians of both sides and their ratios."""

    def middle(rounds: list[Round], value: Callable[[Round], float]) -> float:
        return statistics.median(value(one) for one in rounds)

    total = [middle(rounds, lambda one: one.total) for rounds in (mine, other)]
    cpu = [middle(rounds, lambda one: one.cpu) for rounds in (mine, other)]
    later = [
        middle(rounds, lambda one: statistics.median(one.first[1:])) for rounds in (mine, other)
    ]
    begin = [middle(rounds, lambda one: one.first[0]) for rounds in (mine, other)]
    return {
        "document_tokens": tokens,
        "questions": len(QUESTIONS),
        "total_s": {"ours": total[0], "theirs": total[1], "ratio": total[1] / total[0]},
        "total_cpu_s": {"ours": cpu[0], "theirs": cpu[1], "ratio": cpu[1] / cpu[0]},
        "first_token_of_question_1_s": {"ours": begin[0], "theirs": begin[1]},
        "first_token_from_question_2_s": {
            "ours": later[0],
            "theirs": later[1],
            "ratio": later[1] / later[0],
        },
        "answers": {"ours": mine[-1].answers, "theirs": other[-1].answers},
    }


def run(
    title: str,
    ours: Callable[[Pace, list[str], int], Round],
    theirs: Callable[[Any, list[str]], Round],
    peer: Callable[[str, int], Any],
) -> None:
    """Parse the command line, measure and print.

    Args:
        title: What is compared.
        ours: Reads pages and asks, with answers of at most so many tokens.
        theirs: Asks what `peer` made, with the pages in every prompt.
        peer: The other side over the checkpoint at a path, with answers of so many tokens.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--model", help="path of a checkpoint; the embedded one if left out")
    parser.add_argument("--size", help="WIDTHxLAYERS of random weights instead, such as 512x8")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, help="memory banks")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    logging.disable(logging.WARNING)  # theirs says of every prompt that a length is set twice
    with TemporaryDirectory() as folder:
        if chosen.size:
            chosen.model = random_checkpoint(chosen.size, folder)
        memory = MemoryConfig() if chosen.memory else None
        with Pace.load(chosen.model, memory=memory, dtype="float32") as pace:
            other = peer(chosen.model or str(EMBEDDED), chosen.new_tokens)
            found = _in_turns(chosen, pace, ours, lambda pages: theirs(other, pages))
        print(json.dumps(found, indent=2))


def _in_turns(
    chosen: argparse.Namespace,
    pace: Pace,
    ours: Callable[[Pace, list[str], int], Round],
    theirs: Callable[[list[str]], Round],
) -> dict[str, Any]:
    pages = pages_of(pace.count_tokens, chosen.tokens)
    ours(pace, pages[:1], 4), theirs(pages[:1])  # both warm
    mine: list[Round] = []
    other: list[Round] = []
    for number in range(chosen.rounds):
        sides = [
            lambda: mine.append(ours(pace, pages, chosen.new_tokens)),
            lambda: other.append(theirs(pages)),
        ]
        for side in sides if number % 2 == 0 else sides[::-1]:
            side()
    return report(mine, other, sum(pace.count_tokens(page) for page in pages))
