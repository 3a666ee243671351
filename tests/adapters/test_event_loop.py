"""What takes its time at the end of an answer is done off the event loop, at every entry."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from house import QUESTION, SHORT
from langchain_core.documents import Document
from llama_index.core.base.llms.types import ChatMessage

import pace_integrations.documents.quotes.matching as matching
import pace_integrations.llama_index as li
import pace_integrations.session.citations as citations
from pace_integrations import Corpus, Library, Pace, Session
from pace_integrations.langchain import (
    ChatPace,
    PaceCorpusTool,
    PaceLLM,
    create_corpus_qa_chain,
    create_pace_documents_chain,
)


async def drain(stream: Any) -> None:
    async for _ in stream:
        pass


ASKED = [ChatMessage(QUESTION, role="user")]
DOCUMENT = Document("The gate opens at 7:30.")
ENTRIES: dict[str, Callable[[Session], Awaitable[Any]]] = {
    "session.aask": lambda s: s.aask(QUESTION, generation=SHORT),
    "session.astream": lambda s: drain(s.astream(QUESTION, generation=SHORT)),
    "conversation.aask": lambda s: s.fork().aask(QUESTION, generation=SHORT),
    "ChatPace.ainvoke": lambda s: ChatPace(session=s, max_tokens=8).ainvoke(QUESTION),
    "ChatPace.astream": lambda s: drain(ChatPace(session=s, max_tokens=8).astream(QUESTION)),
    "ChatPace.abatch": lambda s: ChatPace(session=s, max_tokens=8).abatch([QUESTION, "Bread?"]),
    "ChatPace.astream_events": lambda s: drain(
        ChatPace(session=s, max_tokens=8).astream_events(QUESTION, version="v2")
    ),
    "langchain.PaceLLM.ainvoke": lambda s: PaceLLM(session=s, max_tokens=8).ainvoke(QUESTION),
    "langchain.PaceLLM.astream": lambda s: drain(
        PaceLLM(session=s, max_tokens=8).astream(QUESTION)
    ),
    "PaceCorpusTool.ainvoke": lambda s: PaceCorpusTool(session=s, generation=SHORT).ainvoke(
        {"question": QUESTION}
    ),
    "corpus chain": lambda s: create_corpus_qa_chain(ChatPace(session=s, max_tokens=8)).ainvoke(
        {"input": QUESTION}
    ),
    "documents chain": lambda s: create_pace_documents_chain(
        ChatPace(pace=s.pace, max_tokens=8)
    ).ainvoke({"input": QUESTION, "context": [DOCUMENT]}),
    "PaceLLM.acomplete": lambda s: li.PaceLLM(session=s, max_tokens=8).acomplete(QUESTION),
    "PaceLLM.achat": lambda s: li.PaceLLM(session=s, max_tokens=8).achat(ASKED),
    "PaceQueryEngine.aquery": lambda s: li.PaceQueryEngine.from_session(s, max_tokens=8).aquery(
        QUESTION
    ),
    "PaceChatEngine.achat": lambda s: li.PaceChatEngine.from_session(s, max_tokens=8).achat(
        QUESTION
    ),
    "CitedPageRetriever.aretrieve": lambda s: li.CitedPageRetriever.from_session(
        s, max_tokens=8
    ).aretrieve(QUESTION),
}


@pytest.fixture
def searching(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that search pages for what supports an answer."""
    threads: list[threading.Thread] = []

    def watch(module: Any, name: str) -> None:
        found = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            threads.append(threading.current_thread())
            return found(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    for module in (citations, matching):
        watch(module, "best_passage")
    monkeypatch.setattr(
        "pace_integrations.llama_index.retriever.best_passage", matching.best_passage
    )
    return threads


@pytest.mark.parametrize("name", ENTRIES)
async def test_pages_are_searched_off_the_event_loop(
    name: str, house_session: Session, searching: list[threading.Thread]
) -> None:
    await ENTRIES[name](house_session)
    assert searching
    assert threading.current_thread() not in searching


async def test_a_library_searches_its_pages_off_the_event_loop(
    pace: Pace, house: Path, searching: list[threading.Thread], tmp_path: Path
) -> None:
    library = Library.open(tmp_path / "library", pace)
    library.add(Corpus.from_paths(house))
    await library.aask(QUESTION)
    assert searching
    await drain(library.astream(QUESTION))
    assert threading.current_thread() not in searching
