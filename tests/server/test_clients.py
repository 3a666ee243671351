"""The clients that people have, against the server: answers, streams, tools, schemas, citations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pdfs import labelled, typeset
from pydantic import BaseModel
from serving import BASE, GATE, INVOICE, RunningServer, serve

from pace_integrations import Pace
from pace_integrations.server import ServerSettings, make_app

openai = pytest.importorskip("openai")
pytestmark = pytest.mark.filterwarnings("ignore")  # the clients' own

QUESTION = "What is the total amount due?"
URL = f"{BASE}/v1"
USER = [{"role": "user", "content": QUESTION}]


class Out(BaseModel):
    """What is asked for."""

    answer: str


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with server.make_client() as client:
        yield client


@pytest.fixture
def client(http: httpx.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=URL, http_client=http, max_retries=0)


def test_openai_lists_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[:2] == ["pace", "pace/papers"]
    assert client.models.retrieve("pace/papers").id == "pace/papers"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("pace/nowhere")


def test_openai_chats(client: openai.OpenAI) -> None:
    made = client.chat.completions.create(model="pace", messages=USER)
    note = made.choices[0].message.annotations[0].url_citation
    assert note.title.startswith(("Invoice, page ", "lease, page "))
    pieces = client.chat.completions.create(model="pace", messages=USER, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
    assert text == made.choices[0].message.content
    parsed = client.chat.completions.parse(model="pace", messages=USER, response_format=Out)
    assert isinstance(parsed.choices[0].message.parsed, Out)


def test_openai_responds_and_goes_on(client: openai.OpenAI) -> None:
    first = client.responses.create(model="pace", input=QUESTION)
    assert first.output_text
    note = first.output[0].content[0].annotations[0]
    assert note.page_label in ("1", "2", None)
    assert note.quote
    again = client.responses.create(
        model="pace", input="And the tenant?", previous_response_id=first.id
    )
    assert again.previous_response_id == first.id
    assert again.usage.input_tokens > first.usage.input_tokens
    assert client.responses.retrieve(first.id).output_text == first.output_text
    assert client.responses.input_items.list(first.id).data[0].content[0].text == QUESTION
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="pace", input="And?", previous_response_id=first.id)


def test_openai_streams_a_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="pace", input=QUESTION, text_format=Out) as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert kinds[-1] == "response.completed"
    assert isinstance(final.output_parsed, Out)


@pytest.mark.parametrize("stream", [False, True])
def test_openai_calls_a_function(client: openai.OpenAI, stream: bool) -> None:
    tool = {
        "type": "function",
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    }
    asked = {"model": "pace", "input": QUESTION, "tools": [tool], "tool_choice": "required"}
    if stream:
        with client.responses.stream(**asked) as events:
            made = events.get_final_response()
    else:
        made = client.responses.create(**asked)
    call = made.output[0]
    assert (call.type, call.name) == ("function_call", "look_up")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "381.50 EUR"}
    done = client.responses.create(
        model="pace", input=[result], tools=[tool], previous_response_id=made.id
    )
    assert done.output_text


def test_openai_keeps_documents(client: openai.OpenAI, server: RunningServer) -> None:
    file = client.files.create(file=("gate.txt", GATE), purpose="assistants")
    assert client.files.content(file.id).read() == GATE
    store = client.vector_stores.create(name="gate", file_ids=[file.id])
    done = client.vector_stores.files.poll(file.id, vector_store_id=store.id, poll_interval_ms=20)
    assert done.status == "completed"
    found = client.vector_stores.search(store.id, query="When does the gate open?")
    assert found.data[0].filename == "gate.txt"
    made = client.responses.create(
        model="pace",
        input="When does the gate open?",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
    )
    assert made.output[0].type == "file_search_call"
    assert client.vector_stores.delete(store.id).deleted
    assert client.files.delete(file.id).deleted


def test_openai_is_told_what_is_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="pace", messages=USER, n=2)
    assert caught.value.param == "n"


def make_chat(http: httpx.Client, server: RunningServer, **options: object) -> object:
    models = pytest.importorskip("langchain_openai")
    return models.ChatOpenAI(
        model="pace",
        base_url=URL,
        api_key="none",
        http_client=http,
        http_async_client=server.make_async_client(),
        temperature=0,
        **options,
    )


def check_blocks(message) -> None:
    (block,) = [block for block in message.content_blocks if block["type"] == "text"]
    extras = block["annotations"][0]["extras"]
    assert extras["page"] in (1, 2)
    assert extras["quote"]
    assert "page_label" in extras


def test_langchain_keeps_citations_of_responses(http: httpx.Client, server: RunningServer) -> None:
    chat = make_chat(http, server, use_responses_api=True)
    message = chat.invoke(QUESTION)
    check_blocks(message)
    assert message.usage_metadata["input_token_details"]["cache_read"] > 0
    whole = None
    for chunk in chat.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    check_blocks(whole)
    assert whole.text == message.text
    assert whole.usage_metadata["input_token_details"]["cache_read"] > 0


async def test_langchain_asks_without_blocking(http: httpx.Client, server: RunningServer) -> None:
    check_blocks(await make_chat(http, server, use_responses_api=True).ainvoke(QUESTION))


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_langchain_gets_objects(
    http: httpx.Client, server: RunningServer, method: str, responses: bool
) -> None:
    chat = make_chat(http, server, use_responses_api=responses, max_tokens=100)
    if method == "json_mode":  # any object; the schema is not sent
        made = chat.with_structured_output(None, method=method).invoke(f"{QUESTION} json")
        assert isinstance(made, dict)
    else:
        made = chat.with_structured_output(Out, method=method).invoke(QUESTION)
        assert isinstance(made, Out)


@pytest.mark.parametrize("responses", [False, True])
def test_langchain_calls_tools(http: httpx.Client, server: RunningServer, responses: bool) -> None:
    def look_up(query: str) -> str:
        """Look something up."""
        return query

    chat = make_chat(http, server, use_responses_api=responses).bind_tools(
        [look_up], tool_choice="any"
    )
    message = chat.invoke(QUESTION)
    assert [call["name"] for call in message.tool_calls] == ["look_up"]
    whole = None
    for chunk in chat.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole.tool_calls[0]["args"] == message.tool_calls[0]["args"]


def test_langchain_anthropic_keeps_pages(server: RunningServer) -> None:
    models = pytest.importorskip("langchain_anthropic")
    anthropic = pytest.importorskip("anthropic")
    chat = models.ChatAnthropic(
        model="pace", base_url=BASE, api_key="none", max_tokens=64, max_retries=0
    )
    wire = pytest.importorskip("httpx2")
    with wire.Client(transport=wire.HTTPTransport(uds=server.socket), base_url=BASE) as inner:
        # It takes no HTTP client; its own is put in the place that it is cached in.
        chat.__dict__["_client"] = anthropic.Anthropic(
            base_url=BASE, api_key="none", http_client=inner
        )
        message = chat.invoke(QUESTION)
        (block,) = [b for b in message.content_blocks if b["type"] == "text"]
        extras = block["annotations"][0]["extras"]
        assert extras["start_page_number"] in (1, 2)


def test_llamaindex_keeps_citations_of_responses(http: httpx.Client, server: RunningServer) -> None:
    module = pytest.importorskip("llama_index.llms.openai")
    llm = module.OpenAIResponses(
        model="gpt-4o-mini", api_base=URL, api_key="none", http_client=http, temperature=0.1
    )
    note = llm.complete(QUESTION).additional_kwargs["annotations"][0]
    found = note if isinstance(note, dict) else note.model_dump()
    assert found["page"] in (1, 2)
    assert found["quote"]
    assert "page_label" in found


@pytest.mark.parametrize("chat", [False, True])
def test_llamaindex_openai_like(http: httpx.Client, server: RunningServer, chat: bool) -> None:
    module = pytest.importorskip("llama_index.llms.openai_like")
    llm = module.OpenAILike(
        model="pace",
        api_base=URL,
        api_key="none",
        is_chat_model=chat,
        should_use_structured_outputs=chat,
        context_window=server.core.pace.context_window,
        http_client=http,
        max_tokens=100,
        temperature=0,
    )
    whole = llm.complete(QUESTION).text
    assert whole
    assert list(llm.stream_complete(QUESTION))[-1].text == whole
    if chat:
        assert llm.as_structured_llm(Out).complete(QUESTION).raw.answer is not None


def test_a_plain_request_by_hand(server: RunningServer) -> None:
    data = json.dumps({"input": QUESTION}).encode()
    assert server.client.post("/v1/responses", content=data).json()["status"] == "completed"


def test_printed_labels_and_quotes_reach_both_frameworks(nano: Pace, tmp_path: Path) -> None:
    langchain = pytest.importorskip("langchain_openai")
    llamaindex = pytest.importorskip("llama_index.llms.openai")
    pages = [*INVOICE, "Notes: none.", "Thank you."]
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "invoice.pdf").write_bytes(labelled(typeset(*pages)))
    settings = ServerSettings(folders=(tmp_path / "papers",), data=tmp_path / "data")
    options = {"model": "gpt-4o-mini", "api_key": "none"}
    with serve(make_app(nano, settings)) as server, server.make_client() as http:
        server.wait_until_read()
        chat = langchain.ChatOpenAI(
            base_url=URL, http_client=http, use_responses_api=True, **options
        )
        llm = llamaindex.OpenAIResponses(api_base=URL, http_client=http, **options)
        whole = None
        for chunk in chat.stream(QUESTION):
            whole = chunk if whole is None else whole + chunk
        notes = [
            chat.invoke(QUESTION).content_blocks[0]["annotations"][0]["extras"],
            next(b for b in whole.content_blocks if b.get("annotations"))["annotations"][0][
                "extras"
            ],
            llm.complete(QUESTION).additional_kwargs["annotations"][0],
            list(llm.stream_complete(QUESTION))[-1].additional_kwargs["annotations"][0],
        ]
    for note in notes:
        found = note if isinstance(note, dict) else note.model_dump()
        assert (found["page"], found["page_label"]) == (2, "iv")
        assert found["quote"] == "Total amount due: 381.50 EUR"
