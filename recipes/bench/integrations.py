"""pace-small through the integrations, page by page, and with packed weights."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from pace_integrations import Corpus, GenerationConfig, Pace
from pace_integrations.session.session import Session
from recipes.bench.common import ANSWER, QUESTIONS, Result, corpus, never_end
from recipes.bench.measure import clock
from recipes.bench.peers import MODEL, OURS

WRITTEN = Path(__file__).parents[1] / "train_small" / "written.jsonl"
TOGETHER = 10  # pages of one session whose questions are compared
COMPARED = 50  # questions
LOT = 4096  # tokens of pages whose reading is timed


def integrations(arm: str, tokens: int) -> Result:
    """Sixteen questions over one document: by `ask_many`, ChatPace's batch, or LlamaIndex."""
    pace = Pace.load(MODEL, memory=None)
    never_end(pace)
    session = pace.read(corpus(pace, tokens))
    ask = {"ask_many": _ask_many, "ChatPace": _ask_langchain, "PaceLLM": _ask_llama_index}[arm]
    ask(session, QUESTIONS[:2])
    start = clock()
    texts = ask(session, QUESTIONS)
    return {"seconds": clock() - start, "texts": texts}


def _ask_many(session: Session, questions: list[str]) -> list[str]:
    generation = GenerationConfig(max_new_tokens=ANSWER)
    return [answer.text for answer in session.ask_many(questions, generation=generation)]


def _ask_langchain(session: Session, questions: list[str]) -> list[str]:
    from pace_integrations.langchain import ChatPace

    chat = ChatPace(session=session, max_tokens=ANSWER)
    return [str(message.content) for message in chat.batch([*questions])]


def _ask_llama_index(session: Session, questions: list[str]) -> list[str]:
    from llama_index.core.llms import ChatMessage

    from pace_integrations.llama_index import PaceLLM

    llm = PaceLLM(session=session, max_tokens=ANSWER)

    async def ask() -> list[str]:
        calls = [llm.achat([ChatMessage(role="user", content=text)]) for text in questions]
        return [str(answer.message.content) for answer in await asyncio.gather(*calls)]

    return asyncio.run(ask())


def page_rate(arm: str, tokens: int) -> Result:
    """Read pages one by one into a library until it holds so many tokens; compare both ends."""
    pace = Pace.load(MODEL, memory=None)
    pages = [page.text for page in corpus(pace, tokens).documents[0].pages]
    lot = next(n for n in range(len(pages)) if pace.count_tokens("".join(pages[:n])) >= LOT)
    # The first part warms up; between the second and the last one the library grows.
    parts = [pages[:lot], pages[lot : 2 * lot], pages[2 * lot : -lot], pages[-lot:]]
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        library = pace.library(Path(folder) / "library")
        for number, part in enumerate(parts):
            start = clock()
            library.add(Corpus.from_texts({f"notes {number}": "\f".join(part)}))
            rates.append(pace.count_tokens("".join(part)) / (clock() - start))
    return {
        "at the start, tokens per second": rates[1],
        "on the way, tokens per second": rates[2],
        "at the end, tokens per second": rates[3],
        "end over start": rates[3] / rates[1],
    }


def same_answers(arm: str, tokens: int) -> Result:
    """Fifty questions over written pages, ten pages in a session."""
    pace = Pace.load(MODEL, **({"memory": None} if arm == "bfloat16" else OURS[arm]))
    rows = [json.loads(line) for line in WRITTEN.read_text(encoding="utf-8").splitlines()]
    texts: list[str] = []
    start = clock()
    for first in range(0, COMPARED, TOGETHER):
        part = rows[first : first + TOGETHER]
        session = pace.read(Corpus.from_texts({row["title"]: row["text"] for row in part}))
        texts += [session.ask(row["asked"][0][0]).text for row in part]
    return {"seconds": clock() - start, "texts": texts}
