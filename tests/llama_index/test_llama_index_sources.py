"""Documents in and out of LlamaIndex: whose page an answer names, and what is attached to it."""

from __future__ import annotations

import asyncio
import io
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from house import PAGES, QUESTION
from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import Document, NodeRelationship, RelatedNodeInfo, TextNode
from llama_support import citing, no_default_model, user
from pdfs import typeset
from ticking import ticking

from pace_integrations import Pace, Session
from pace_integrations.errors import QuestionError
from pace_integrations.llama_index import (
    CitedPageRetriever,
    PaceChatEngine,
    PaceLLM,
    PaceQueryEngine,
    PaceSynthesizer,
)
from pace_integrations.llama_index.convert import to_messages


@pytest.fixture(autouse=True)
def _no_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    no_default_model(monkeypatch)


DOCUMENTS = [
    Document(text="Bread on Mondays.", id_="bread", metadata={"author": "Bo", "year": 2020}),
    Document(text="The gate opens at 7:30.", id_="gate", metadata={"author": "Ann"}),
]


def test_sources_are_the_callers_documents(pace: Pace, monkeypatch: pytest.MonkeyPatch) -> None:
    citing(monkeypatch, "7:30 [2], Mondays [1]")
    made: Any = {"pace": pace, "max_new_tokens": 4}
    engine = PaceQueryEngine.from_documents(DOCUMENTS, **made)
    chat = PaceChatEngine.from_documents(DOCUMENTS, **made)
    stream = PaceQueryEngine.from_documents(DOCUMENTS, streaming=True, **made).query(QUESTION)
    list(stream.response_gen)
    for nodes in (
        engine.query(QUESTION).source_nodes,
        chat.chat(QUESTION).source_nodes,
        stream.source_nodes,
        CitedPageRetriever.from_documents(DOCUMENTS, **made).retrieve(QUESTION),
    ):
        assert [n.node.ref_doc_id for n in nodes] == ["gate", "bread"]
        assert [n.metadata["author"] for n in nodes] == ["Ann", "Bo"]
        assert nodes[1].metadata["year"] == 2020
        assert nodes[0].metadata["quote"] in DOCUMENTS[1].text
    engine.refresh([Document(text="The gate opens at 8.", id_="gate", metadata={"author": "Cy"})])
    assert engine.query(QUESTION).source_nodes[0].metadata["author"] == "Cy"


def test_a_saved_session_keeps_what_its_documents_said_of_themselves(
    pace: Pace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    citing(monkeypatch, "7:30 [2], Mondays [1]")
    odd = {"when": date(2020, 1, 2), "half": "a\ud83d", "tags": ("x", "y"), "n": None, "_": {1: 2}}
    documents = [DOCUMENTS[0], DOCUMENTS[1].model_copy(update={"metadata": odd})]
    engine = PaceQueryEngine.from_documents(documents, pace=pace, max_new_tokens=4)
    live = engine.query(QUESTION).source_nodes
    engine.session.save(tmp_path / "s.pace")
    opened = PaceQueryEngine.from_session(tmp_path / "s.pace", pace=pace, max_new_tokens=4)
    nodes = opened.query(QUESTION).source_nodes
    assert [n.model_dump() for n in nodes] == [n.model_dump() for n in live]
    assert [n.node.ref_doc_id for n in nodes] == ["gate", "bread"]
    assert nodes[0].metadata["when"] == "2020-01-02"
    assert nodes[0].metadata["tags"] == ["x", "y"]
    assert nodes[0].metadata["half"] == "a\ufffd"
    # What is only said of the same text is not read again, and is up to date afterwards.
    cost = opened.refresh([DOCUMENTS[1]])
    assert cost.read == 0
    assert opened.query(QUESTION).source_nodes[0].metadata["author"] == "Ann"


def test_nodes_keep_their_ids_and_their_documents(
    pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    citing(monkeypatch, "7:30 [1]")
    node = TextNode(text="The gate opens at 7:30.", id_="node-1", metadata={"section": "Gates"})
    node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id="doc-1")
    engine = PaceQueryEngine.from_documents([node], pace=pace, max_new_tokens=4)
    (source,) = engine.query(QUESTION).source_nodes
    assert (source.node.id_, source.node.ref_doc_id) == ("node-1", "doc-1")
    assert source.metadata["section"] == "Gates"


@pytest.mark.parametrize("kind", ["data", "path", "buffer"])
async def test_an_attached_document_is_read(pace: Pace, tmp_path: Path, kind: str) -> None:
    content = typeset(*PAGES)
    (tmp_path / "house.pdf").write_bytes(content)
    blocks = {
        "data": DocumentBlock(data=content, document_mimetype="application/pdf"),
        "path": DocumentBlock(path=tmp_path / "house.pdf"),
        "buffer": DocumentBlock(data=io.BytesIO(content), title="house.pdf"),
    }
    message = ChatMessage(role="user", blocks=[blocks[kind], TextBlock(text=QUESTION)])
    (made,) = to_messages([message])
    assert all(page in made["content"] for page in PAGES)
    async with ticking() as ticks:
        await PaceLLM(pace=pace, max_new_tokens=2).achat([message])
    assert ticks.count > 2


def test_what_would_have_to_be_fetched_is_refused() -> None:
    block = DocumentBlock(url="https://example.com/a.pdf", title="a.pdf")
    with pytest.raises(QuestionError, match="addresses are not followed"):
        to_messages([ChatMessage(role="user", blocks=[block])])
    cited = CitableBlock(title="House", source="house.pdf", content=[TextBlock(text=PAGES[0])])
    (made,) = to_messages([ChatMessage(role="user", blocks=[cited])])
    assert made["content"] == f"[House]\n{PAGES[0]}"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_chat_keeps_its_turns_in_the_memory_it_is_given(
    house_session: Session, asynchronous: bool
) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=2000, tokenizer_fn=str.split)
    engine = PaceChatEngine.from_session(house_session, memory=memory, max_new_tokens=4)
    if asynchronous:
        first = await engine.achat(QUESTION)
        response = await engine.astream_chat("And then?")
        pieces = [piece async for piece in response.async_response_gen()]
    else:
        first = engine.chat(QUESTION)
        pieces = list(engine.stream_chat("And then?").response_gen)
    said = [QUESTION, str(first), "And then?", "".join(pieces)]
    assert [m.content for m in memory.get_all()] == said
    assert engine.chat_history == memory.get_all()
    plain = PaceChatEngine.from_session(house_session, max_new_tokens=4)
    assert str(plain.chat(QUESTION)) == str(first)
    assert str(plain.chat("And then?")) == said[-1]
    engine.chat("Begin anew.", chat_history=user("Hello"))
    assert memory.get_all()[0].content == "Hello"
    engine.reset()
    assert memory.get_all() == []


def test_the_prompt_can_be_read_and_changed(house_session: Session) -> None:
    llm = PaceLLM(session=house_session, max_new_tokens=6)
    made = [
        PaceQueryEngine(llm),
        CitedPageRetriever(llm),
        PaceSynthesizer(llm),
    ]
    template = PromptTemplate("Answer in one word: {query_str}")
    asked = llm.complete(f"Answer in one word: {QUESTION}").text
    for component in made:
        (name,) = component.get_prompts()
        assert component.get_prompts()[name].template == "{query_str}"
        component.update_prompts({name: template})
        assert component.get_prompts()[name].template == template.template
    assert str(made[0].query(QUESTION)) == asked
    own = PaceQueryEngine.from_session(
        house_session,
        max_new_tokens=6,
        text_qa_template=PromptTemplate("{context_str}\n{query_str}"),
    )
    assert str(own.query(QUESTION)) == llm.complete(f"(the documents above)\n{QUESTION}").text


def test_every_role_of_core_is_known() -> None:
    for role in MessageRole:
        (made,) = to_messages([ChatMessage("x", role=role)])
        assert made["role"] in ("system", "user", "assistant")


async def test_tokenization_leaves_the_event_loop_alone(pace: Pace) -> None:
    llm = PaceLLM(pace=pace, max_new_tokens=1)
    async with ticking() as ticks:
        results = await asyncio.gather(
            *(llm.acomplete("The gate opens at nine. " * 40) for _ in range(2))
        )
    assert all(result.raw["usage"]["prompt_tokens"] > 500 for result in results)
    assert ticks.count > 2
