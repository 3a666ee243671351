"""Five questions over one document: `ChatPace` and langchain-huggingface, with the same weights.

    pip install "langchain-huggingface>=1.2,<2"
    python -m recipes.bench_langchain               # the embedded model, 4,000 tokens, one thread
    python -m recipes.bench_langchain --model path/to/checkpoint --tokens 8000

Both sides stream greedy answers of at most `--answer` tokens in one process, one after the other.
`ChatPace` reads the document in the first call and that reading counts. Times are wall-clock
seconds and, because other work on the machine does not stretch it, CPU time of this process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from pace_integrations import Corpus, Pace
from pace_integrations.langchain import ChatPace
from pace_integrations.model.loading import EMBEDDED

QUESTIONS = (
    "What is the fee of station 12?",
    "Who keeps the key of station 40?",
    "On which day is station 77 open?",
    "Which lamp hangs in station 23?",
    "What is the fee of station 91?",
)
_KEEPERS = ("Ada Moss", "Bo Lind", "Cara Voss", "Dov Hale", "Eli Roan")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_LAMPS = ("a brass lamp", "a red lantern", "an oil lamp", "a paper lantern")


@dataclass(frozen=True)
class Asked:
    """One answer.

    Attributes:
        first: Wall-clock seconds to the first token.
        first_cpu: CPU seconds to the first token.
        total: Wall-clock seconds to the last.
        total_cpu: CPU seconds to the last.
        text: What was written.
    """

    first: float
    first_cpu: float
    total: float
    total_cpu: float
    text: str


def document(count: Callable[[str], int], tokens: int) -> str:
    """A text of facts about stations, as long as fits."""
    lines: list[str] = []
    number, length = 0, 0
    while True:
        number += 1
        line = (
            f"Station {number} charges a fee of {number * 7 % 90 + 5} crowns. Its key is kept by "
            f"{_KEEPERS[number % 5]}. It is open on {_DAYS[number % 5]}, and "
            f"{_LAMPS[number % 4]} hangs there."
        )
        length += count(line + "\n")
        if length > tokens:
            return "\n".join(lines)
        lines.append(line)


def ask(chat: BaseChatModel, prompt: str) -> Asked:
    """Streams one answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    first: tuple[float, float] | None = None
    pieces: list[str] = []
    for chunk in chat.stream([HumanMessage(prompt)]):
        if first is None and chunk.text:
            first = time.perf_counter() - wall, time.process_time() - cpu
        pieces.append(chunk.text)
    total = time.perf_counter() - wall, time.process_time() - cpu
    return Asked(*(first or total), *total, "".join(pieces))


def ours(args: argparse.Namespace, text: str, pace: Pace) -> Iterator[Asked]:
    """The questions to `ChatPace`, which reads the document once."""
    chat = ChatPace(pace=pace, corpus=Corpus.from_texts({"Stations": text}), max_tokens=args.answer)
    for question in QUESTIONS:
        yield ask(chat, question)


def theirs(args: argparse.Namespace, text: str) -> Iterator[Asked]:
    """The questions to `ChatHuggingFace`, with the document in every prompt."""
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline

    path = args.model or str(EMBEDDED)
    tokenizer = AutoTokenizer.from_pretrained(path)
    dtype = "auto" if args.model else torch.float32
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    generate = pipeline(
        "text-generation",
        model=model,
        tokenizer=tokenizer,
        max_new_tokens=args.answer,
        do_sample=False,
        return_full_text=False,
    )
    # The model's id is given so that nothing is looked up on the Hub.
    chat = ChatHuggingFace(
        llm=HuggingFacePipeline(pipeline=generate, model_id=path), tokenizer=tokenizer
    )
    for question in QUESTIONS:
        yield ask(chat, f"{text}\n\n{question}")


def main() -> None:
    """Runs both sides and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=None, help="checkpoint; the embedded one by default")
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--answer", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-memory", action="store_true", help="without the activation memory")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    options = {"memory": None} if args.no_memory else {}
    with Pace.load(args.model, device="cpu", **options) as pace:
        text = document(pace.count_tokens, args.tokens)
        tokens = pace.count_tokens(text)
        mine = list(ours(args, text, pace))
    other = list(theirs(args, text))
    report(args, tokens, mine, other)


def report(args: argparse.Namespace, tokens: int, mine: list[Asked], other: list[Asked]) -> None:
    """Prints both sides and the ratios between them."""
    sums = {
        "document_tokens": tokens,
        "total_ratio": _sum(other, "total") / _sum(mine, "total"),
        "total_ratio_cpu": _sum(other, "total_cpu") / _sum(mine, "total_cpu"),
        "first_token_ratio": _later(other, "first") / _later(mine, "first"),
        "first_token_ratio_cpu": _later(other, "first_cpu") / _later(mine, "first_cpu"),
    }
    if args.json:
        sides = {"pace": [asdict(a) for a in mine], "huggingface": [asdict(a) for a in other]}
        print(json.dumps({**sums, **sides}, indent=1))
        return
    print(f"{len(QUESTIONS)} questions over {tokens} tokens, {args.threads} thread(s)")
    print("question   first token s (pace, huggingface)   total s (pace, huggingface)")
    for i, (a, b) in enumerate(zip(mine, other, strict=True), 1):
        print(f"{i:8}   {a.first:12.3f} {b.first:12.3f}   {a.total:16.3f} {b.total:12.3f}")
    for name, value in sums.items():
        print(f"{name:24} {value:8.1f}")


def _sum(answers: list[Asked], name: str) -> float:
    return sum(getattr(answer, name) for answer in answers)


def _later(answers: list[Asked], name: str) -> float:
    """Median from the second question on."""
    return statistics.median(getattr(answer, name) for answer in answers[1:])


if __name__ == "__main__":
    main()
