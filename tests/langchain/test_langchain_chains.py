"""Real chains and agents over the face, with the embedded model and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from sklearn.feature_extraction.text import HashingVectorizer

from pace_integrations import Corpus, Pace, Session
from pace_integrations.errors import ConfigError
from pace_integrations.langchain import (
    ChatPace,
    PaceCorpusTool,
    PaceLoader,
    create_corpus_qa_chain,
    create_pace_documents_chain,
)

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"
RENT = "What is the monthly rent?"


@pytest.fixture(scope="module")
def contract(embedded: Pace) -> Session:
    return embedded.read(Corpus.from_paths(EXAMPLES / "rental-contract.pdf"))


@pytest.fixture
def llm(contract: Session) -> ChatPace:
    return ChatPace(session=contract, max_tokens=48)


class HashedWords(Embeddings):
    vectorizer = HashingVectorizer(n_features=4096, stop_words="english", alternate_sign=False)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self.vectorizer.transform(texts).toarray().tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_options_that_are_bound_to_the_model_go_with_every_question(embedded: Pace) -> None:
    bound = ChatPace(pace=embedded, max_tokens=48).bind(stop=["pounds"]).bind(max_tokens=9)
    documents = [Document("The monthly rent is 900 pounds.", id="rent")]
    about = create_corpus_qa_chain(bound, iter(documents))
    stuffed = create_pace_documents_chain(bound)
    whole = about.invoke({"input": RENT})
    assert whole["answer"].strip() == "900"
    assert whole["context"][0].id == "rent"
    assert stuffed.invoke({"input": RENT, "context": documents}).strip() == "900"
    with pytest.raises(ConfigError, match="needs a ChatPace, not a RunnableLambda"):
        create_pace_documents_chain(RunnableLambda(str))  # type: ignore[arg-type]


def test_a_retrieval_chain_over_a_vector_store(embedded: Pace) -> None:
    store = InMemoryVectorStore(HashedWords())
    store.add_documents(PaceLoader(EXAMPLES).load())
    answer = create_pace_documents_chain(ChatPace(pace=embedded, max_tokens=48))
    chain = RunnablePassthrough.assign(
        context=lambda given: store.similarity_search(given["input"], k=2)
    ).assign(answer=answer)
    result = chain.invoke({"input": RENT})
    assert "1,450" in result["answer"]
    assert "Rental contract" in {d.metadata["title"] for d in result["context"]}
    streamed = "".join(part.get("answer", "") for part in chain.stream({"input": RENT}))
    assert streamed == result["answer"]


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
@pytest.mark.filterwarnings("ignore:The class `InMemoryChatMessageHistory` was deprecated")
def test_a_history_is_kept_and_only_the_new_turn_is_computed(llm: ChatPace) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("history"), ("human", "{question}")]
    )
    histories: dict[str, InMemoryChatMessageHistory] = {}
    chain = RunnableWithMessageHistory(
        prompt | llm,
        lambda key: histories.setdefault(key, InMemoryChatMessageHistory()),
        input_messages_key="question",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "a"}}
    first = chain.invoke({"question": RENT}, config)
    second = chain.invoke({"question": "When does the tenancy begin?"}, config)
    assert "1,450" in first.content
    assert len(histories["a"].messages) == 4
    # The document, and the first question with it.
    held = second.usage_metadata["input_token_details"]["cache_read"]
    assert held > first.usage_metadata["input_token_details"]["cache_read"]
    plain = ChatPace(session=llm.session, max_tokens=48, held_prompts=0)
    assert plain.invoke(histories["a"].messages[:3]).content == second.content


def test_a_thread_of_langgraph_is_kept(llm: ChatPace) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("think", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_edge(START, "think")
    agent = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "a"}}
    agent.invoke({"messages": [HumanMessage(RENT)]}, config)
    messages = agent.invoke({"messages": [HumanMessage("When does it begin?")]}, config)["messages"]
    assert [m.type for m in messages] == ["human", "ai", "human", "ai"]
    details = [m.usage_metadata["input_token_details"] for m in messages if m.type == "ai"]
    assert details[1]["cache_read"] > details[0]["cache_read"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_asks_the_corpus_and_answers(
    embedded: Pace, contract: Session, asynchronous: bool
) -> None:
    tool = PaceCorpusTool(session=contract)
    bound = ChatPace(pace=embedded, max_tokens=96).bind_tools([tool])

    async def athink(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", athink if asynchronous else think)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    agent, asked = graph.compile(), {"messages": [HumanMessage(RENT)]}
    messages = (await agent.ainvoke(asked) if asynchronous else agent.invoke(asked))["messages"]
    assert [type(message) for message in messages] == [
        HumanMessage,
        AIMessage,
        ToolMessage,
        AIMessage,
    ]
    assert messages[1].tool_calls[0]["args"] == {"question": RENT}
    assert messages[2].artifact.citations[0].page == 2
    assert "1,450" in messages[3].content


def test_a_batch_with_concurrency_is_what_each_is_alone(llm: ChatPace) -> None:
    questions = [RENT, "When does the tenancy begin?", "Who signed for the landlord?", RENT]
    chain = llm | StrOutputParser()
    alone = [chain.invoke(question) for question in questions]
    assert chain.batch(questions, config={"max_concurrency": 3}) == alone


async def test_events_tell_of_every_step(llm: ChatPace) -> None:
    chain = create_corpus_qa_chain(llm)
    events = [event async for event in chain.astream_events({"input": RENT}, version="v2")]
    kinds = {event["event"] for event in events}
    assert {"on_chain_start", "on_chat_model_start", "on_chat_model_stream"} <= kinds
    streamed = "".join(
        event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"
    )
    assert "1,450" in streamed
    assert any(event["name"] == "corpus_qa" for event in events)


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.names: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.names.append(kwargs["name"])

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)


def test_callbacks_hear_every_token_under_the_run_name(llm: ChatPace) -> None:
    heard = Tokens()
    config: Any = {"callbacks": [heard], "run_name": "rent"}
    text = "".join(chunk.text for chunk in llm.stream(RENT, config))
    assert "".join(heard.tokens) == text
    assert heard.names == ["rent"]
