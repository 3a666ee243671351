"""Chains over whole documents, with the keys of LangChain's retrieval chains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.output_parsers import BaseOutputParser, BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableGenerator,
    RunnableLambda,
)
from langchain_core.runnables.utils import AddableDict

from pace_integrations.adapters.lazy_session import is_session
from pace_integrations.documents import Corpus
from pace_integrations.documents.discovery import Paths
from pace_integrations.errors import ConfigError
from pace_integrations.langchain.chat_models import ChatPace
from pace_integrations.langchain.document_loaders import to_document
from pace_integrations.langchain.document_sets import ChatModelCache, DocumentSet

if TYPE_CHECKING:
    from pace_integrations.session import Session

Inputs = Mapping[str, Any]


class CitedText(str):
    """The text of an answer, with its citations.

    Attributes:
        citations: Plain dicts, the best first; ``passage`` is the number in the text's marks.
    """

    __slots__ = ("citations",)
    citations: list[dict[str, Any]]

    def __new__(cls, text: str, citations: Iterable[dict[str, Any]] = ()) -> CitedText:
        """Make a text of its citations."""
        made = super().__new__(cls, text)
        made.citations = list(citations)
        return made

    def __add__(self, other: str) -> CitedText:
        return CitedText(str(self) + str(other), self.citations or _citations_of(other))

    def __radd__(self, other: str) -> CitedText:
        return CitedText(str(other) + str(self), _citations_of(other) or self.citations)

    def __reduce__(self) -> tuple[Any, ...]:
        return CitedText, (str(self), self.citations)


def _citations_of(text: object) -> list[dict[str, Any]]:
    return getattr(text, "citations", [])


class CitedTextParser(BaseTransformOutputParser[str]):
    """Gives the text of a message with the message's citations."""

    def parse(self, text: str) -> str:
        """Return a text as it is."""
        return text

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:
        """Return the text of an answer; pieces of a stream bring the citations at the end."""
        first = result[0]
        metadata = first.message.response_metadata if isinstance(first, ChatGeneration) else {}
        return CitedText(first.text, metadata.get("citations") or ())


def create_corpus_qa_chain(
    llm: ChatPace | RunnableBinding[Any, Any],
    corpus: Corpus | Session | Sequence[Document] | Paths | None = None,
) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Return a chain that answers questions from everything that documents say.

    Its input has ``input``, the question, and may have ``chat_history``, messages before it. Its
    output has ``input``, ``answer``, ``citations`` (plain dicts, the best first) and ``context``,
    the cited pages as documents. While it is streamed, pieces of the answer come first.

    Args:
        llm: The model; options that are bound to it go with every question.
        corpus: What is asked: a corpus, a session, LangChain's documents, or paths; None asks what
            the model's own session has read. Of documents, ``[n]`` is the n-th.

    Raises:
        ConfigError: The model is no `ChatPace`, or the corpus is of no known kind.
    """
    chat, bound = _unbind_chat_model(llm)
    source = _AnswerSource(chat, corpus)

    def stream(inputs: Iterator[Inputs]) -> Iterator[AddableDict]:
        asked = _join_inputs(inputs)
        yield AddableDict(input=asked["input"])
        model, whole = source.find_model(), AIMessageChunk(content="")
        with closing(model.stream(_to_messages(asked), **bound)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                whole = whole + chunk
                if chunk.text:
                    yield AddableDict(answer=chunk.text)
        yield source.describe_sources(whole, model)

    async def astream(inputs: AsyncIterator[Inputs]) -> AsyncIterator[AddableDict]:
        asked = _join_inputs([part async for part in inputs])
        yield AddableDict(input=asked["input"])
        model = await asyncio.to_thread(source.find_model)
        whole = AIMessageChunk(content="")
        async with aclosing(model.astream(_to_messages(asked), **bound)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                whole = whole + chunk
                if chunk.text:
                    yield AddableDict(answer=chunk.text)
        yield source.describe_sources(whole, model)

    return RunnableGenerator(stream, astream).with_config(run_name="corpus_qa")


def create_pace_documents_chain(
    llm: ChatPace | RunnableBinding[Any, Any],
    *,
    output_parser: BaseOutputParser[Any] | None = None,
    held: int = 4,
) -> Runnable[dict[str, Any], Any]:
    """Return a chain that answers from retrieved documents, and reads each set of them once.

    It takes the place of ``create_stuff_documents_chain``: its input has ``context``, documents of
    any retriever, and ``input``, the question, and may have ``chat_history``. ``[n]`` in an answer
    is ``context[n - 1]``, whatever the order: the same set is read once.

    Args:
        llm: The model; options that are bound to it go with every question.
        output_parser: What makes the output of the message; by default the text, a `CitedText`
            with its ``citations``.
        held: Most sets of documents that stay read.

    Raises:
        ConfigError: The model is no `ChatPace`.
    """
    model, bound = _unbind_chat_model(llm)
    models = ChatModelCache(model, held)
    ask = RunnableLambda(_to_messages).with_config(run_name="format_question")

    def route(inputs: Inputs) -> Runnable[Inputs, Any]:
        return ask | models.find_model(inputs["context"]).bind(**bound)

    async def aroute(inputs: Inputs) -> Runnable[Inputs, Any]:
        found = await asyncio.to_thread(models.find_model, inputs["context"])
        return ask | found.bind(**bound)

    parser = output_parser or CitedTextParser()
    chain: Runnable[Any, Any] = RunnableLambda(route, aroute) | parser
    return chain.with_config(run_name="pace_documents_chain")


class _AnswerSource:
    """The model over what is asked, which is read at the first question."""

    def __init__(self, llm: ChatPace, corpus: Any) -> None:  # noqa: ANN401 - one of many kinds
        self._llm = llm
        self._given = corpus
        self._set: DocumentSet | None = None
        self._models = ChatModelCache(llm, 1)
        self._lock = threading.Lock()
        if isinstance(corpus, Iterator):
            corpus = list(corpus)
        if isinstance(corpus, (list, tuple)) and any(isinstance(d, Document) for d in corpus):
            self._set = DocumentSet.collect(corpus)
        elif not (corpus is None or isinstance(corpus, Corpus) or is_session(corpus)):
            self._given = None  # paths are read at the first question
            self._paths: Paths | None = _require_paths(corpus)

    def find_model(self) -> ChatPace:
        if self._set is not None:
            return self._models.read_corpus(self._set.corpus).with_numbers(self._set.numbers)
        with self._lock:
            if getattr(self, "_paths", None) is not None:
                self._given, self._paths = Corpus.from_paths(self._paths), None  # type: ignore[arg-type]
        if self._given is None:
            return self._llm
        if isinstance(self._given, Corpus):
            return self._models.read_corpus(self._given)
        with self._lock:  # one model over a session, so that its prompts stay cached
            if not hasattr(self, "_over_session"):
                self._over_session = self._llm.over(self._given)
            return self._over_session

    def describe_sources(self, message: AIMessageChunk, model: ChatPace) -> AddableDict:
        """Return what comes after the answer: citations, and the pages they name."""
        citations = message.response_metadata.get("citations", [])
        named = dict.fromkeys(citation["passage"] for citation in citations)
        if self._set is not None:
            passages = {number: passage for passage, number in self._set.numbers.items()}
            context = [self._set.find_document(passages[n], passage=n) for n in named]
        else:
            pages = {passage.number: passage for passage in model.passages}
            context = [to_document(pages[n].document, pages[n].page, passage=n) for n in named]
        return AddableDict(citations=citations, context=context)


def _unbind_chat_model(llm: Any) -> tuple[ChatPace, dict[str, Any]]:  # noqa: ANN401
    """Return a chat model, and the options that are bound to it."""
    bound: dict[str, Any] = {}
    while isinstance(llm, RunnableBinding):
        llm, bound = llm.bound, {**llm.kwargs, **bound}
    if not isinstance(llm, ChatPace):
        raise ConfigError(
            f"the chain needs a ChatPace, not a {type(llm).__name__}; parse what the chain gives"
        )
    return llm, bound


def _require_paths(given: Any) -> Paths:  # noqa: ANN401 - what is refused may be anything
    one = isinstance(given, str) or hasattr(given, "__fspath__")
    many = isinstance(given, (list, tuple)) and bool(given)
    if one or (many and all(isinstance(p, str) or hasattr(p, "__fspath__") for p in given)):
        return given  # type: ignore[no-any-return]
    raise ConfigError(
        f"a chain asks a Corpus, a Session, LangChain documents or paths, not a "
        f"{type(given).__name__}{' that is empty' if isinstance(given, (list, tuple)) else ''}"
    )


def _join_inputs(inputs: Iterable[Inputs]) -> dict[str, Any]:
    """Return the whole input: a chain before this one may give it key by key."""
    joined: dict[str, Any] = {}
    for part in inputs:
        for key, value in part.items():
            joined[key] = joined[key] + value if key in joined else value
    if "input" not in joined:
        raise ConfigError("the chain's input must have the key 'input', the question")
    return joined


def _to_messages(inputs: Inputs) -> list[BaseMessage]:
    return [*inputs.get("chat_history", ()), HumanMessage(inputs["input"])]
