"""Five questions over one document: `PaceQueryEngine` against llama-index-llms-huggingface.

    python -m recipes.bench_llama_index                       # the embedded model, half a minute
    python -m recipes.bench_llama_index --model PATH --tokens 4096 --rounds 3
    python -m recipes.bench_llama_index --size 512x8 --new-tokens 8 --rounds 1   # random weights

Both sides run in this process with the same weights, precision and threads, greedily, and get the
same words in the same order: instruction, document, question. Theirs puts the document into every
prompt, which is the only way it has; ours reads it once and its total includes that. Rounds
alternate which side goes first; medians are printed. Totals are also given as CPU time of this
process, which other work on the machine does not stretch.
The more a model computes for every token, the less the fixed cost of a step counts: `--size` makes
a larger one of random weights, whose time does not depend on what is in them.
Needs ``pip install llama-index-llms-huggingface``.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import Document
from llama_index.llms.huggingface import HuggingFaceLLM
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pace_integrations import MemoryConfig, Pace
from pace_integrations.llama_index import PaceQueryEngine
from pace_integrations.model.loading import EMBEDDED
from pace_integrations.model.prompts import INSTRUCTION, passage_text

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
    """What one side took, in seconds.

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
    """Pages of a document of about `tokens` tokens, in which five facts stand far apart."""
    filler = FILLER * max(1, PAGE_TOKENS // count(FILLER))
    number = max(len(ROOMS), round(tokens / count(filler)))
    pages = [filler] * number
    for i, room in enumerate(ROOMS):
        at = i * number // len(ROOMS)
        pages[at] += f"The code of the {room} is {7130 + 411 * i}."
    return pages


def clocks() -> tuple[float, float]:
    """Now, on the wall and in CPU time of this process."""
    return time.perf_counter(), time.process_time()


def measured(ask: Callable[[str], Any], start: tuple[float, float]) -> Round:
    """Asks all questions of something that streams pieces of text."""
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


def ours(pace: Pace, pages: list[str], new_tokens: int) -> Round:
    """Reads the document once and asks."""
    start = clocks()
    documents = [
        Document(text=text, metadata={"file_name": "house", "page_label": str(n)})
        for n, text in enumerate(pages, start=1)
    ]
    engine = PaceQueryEngine.from_documents(
        documents, pace=pace, max_new_tokens=new_tokens, streaming=True
    )
    return measured(lambda question: engine.query(question).response_gen, start)


def theirs(llm: HuggingFaceLLM, pages: list[str]) -> Round:
    """Puts the document into every prompt."""
    start = clocks()
    text = "".join(passage_text(n, "house", str(n), page) for n, page in enumerate(pages, start=1))
    system = ChatMessage(INSTRUCTION + text, role="system")

    def ask(question: str) -> Iterator[str]:
        stream = llm.stream_chat([system, ChatMessage(question, role="user")])
        return (step.delta for step in stream)

    return measured(ask, start)


def peer(model: str | None, new_tokens: int) -> HuggingFaceLLM:
    """The other side, over the same weights in the same precision."""
    path = model or str(EMBEDDED)
    network = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return HuggingFaceLLM(
        model=network,
        tokenizer=AutoTokenizer.from_pretrained(path),
        context_window=network.config.max_position_embeddings,
        max_new_tokens=new_tokens,
        generate_kwargs={"do_sample": False},
        is_chat_model=True,
    )


def random_checkpoint(size: str, folder: str) -> str:
    """Saves random weights of ``WIDTHxLAYERS`` with the embedded model's tokenizer."""
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
    """Medians of both sides and their ratios."""

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


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="path of a checkpoint; the embedded one if left out")
    parser.add_argument("--size", help="WIDTHxLAYERS of random weights instead, such as 512x8")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="leave the memory banks off")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    logging.disable(logging.WARNING)  # theirs says of every prompt that a length is set twice
    with TemporaryDirectory() as folder:
        if chosen.size:
            chosen.model = random_checkpoint(chosen.size, folder)
        print(json.dumps(compare(chosen), indent=2))


def compare(chosen: argparse.Namespace) -> dict[str, Any]:
    """Runs both sides in turns."""
    memory = None if chosen.no_memory else MemoryConfig()
    with Pace.load(chosen.model, memory=memory, dtype="float32") as pace:
        llm = peer(chosen.model, chosen.new_tokens)
        pages = pages_of(pace.count_tokens, chosen.tokens)
        ours(pace, pages[:1], 4), theirs(llm, pages[:1])  # both warm
        mine, other = [], []
        for number in range(chosen.rounds):
            sides = [
                lambda: mine.append(ours(pace, pages, chosen.new_tokens)),
                lambda: other.append(theirs(llm, pages)),
            ]
            for side in sides if number % 2 == 0 else sides[::-1]:
                side()
        tokens = sum(pace.count_tokens(page) for page in pages)
    return report(mine, other, tokens)


if __name__ == "__main__":
    main()
