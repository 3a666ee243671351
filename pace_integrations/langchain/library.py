"""A library in LangChain: its pages as a retriever's, its answers as a chain's.

The other way round, `select_with` lets a retriever of LangChain choose the pages of a library.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ConfigDict, Field

from pace_integrations.adapters.citations import to_plain
from pace_integrations.adapters.page_selection import select_by_metadata
from pace_integrations.errors import QuestionError
from pace_integrations.langchain.document_loaders import to_document
from pace_integrations.langchain.retrievers import check_count

if TYPE_CHECKING:
    from pace_integrations.answer import Answer
    from pace_integrations.library import Library
    from pace_integrations.library.config import SelectorMaker
    from pace_integrations.model.prompts import Message
else:  # so that the field can be declared without PyTorch
    Library = Any


class PaceLibraryRetriever(BaseRetriever):
    """Gives the pages of a library that fit a question best, without answering it.

    Documents are whole pages, the best first. Their metadata has ``passage`` (the number that
    answers cite), ``score``, ``reason`` and ``span``, the passage of the page that was found.

    Attributes:
        library: The library.
        k: Most pages of an answer.
        selector: What chooses them instead of the library's own selector.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    library: Library
    k: int = Field(default=4, ge=1)
    selector: Any = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        most = check_count(k) or self.k
        # Several passages may be of one page.
        choice = self.library.find_pages(query, count=4 * most, selector=self.selector)
        pages: dict[int, Document] = {}
        for scored in choice.scored:
            block, passage = scored.block, scored.block.passage
            if block.number not in pages and len(pages) < most:
                pages[block.number] = to_document(
                    block.document,
                    block.page,
                    passage=block.number,
                    score=scored.score,
                    reason=scored.reason,
                    span=[passage.start, passage.end],
                )
        return list(pages.values())

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        sync = run_manager.get_sync()
        return await asyncio.to_thread(self._get_relevant_documents, query, run_manager=sync, k=k)


def create_library_qa_chain(
    library: Library,
    **options: Any,  # noqa: ANN401 - those of Library.ask
) -> Runnable[Any, dict[str, Any]]:
    """Return a chain that answers from the pages of a library that fit a question best.

    Its input has ``input``, the question, and may have ``chat_history``, messages before it. Its
    output has ``input``, ``answer``, ``citations`` and ``evidence`` (plain dicts, the best first),
    ``support``, ``supported``, ``selection`` and ``context``, the chosen pages as documents.

    Args:
        library: The library.
        **options: As for `Library.ask`, such as ``strategy`` or ``on_unsupported``.
    """

    def ask(inputs: dict[str, Any]) -> dict[str, Any]:
        return _to_outputs(inputs, library, library.ask(_to_question(inputs), **options))

    async def aask(inputs: dict[str, Any]) -> dict[str, Any]:
        return _to_outputs(inputs, library, await library.aask(_to_question(inputs), **options))

    return RunnableLambda(ask, aask).with_config(run_name="library_qa")


def select_with(retriever: BaseRetriever, name: str = "retriever") -> SelectorMaker:
    """Return what makes a selector of a retriever: ``library.ask(..., selector=select_with(r))``.

    A document belongs to the page that its metadata names: by ``passage``, its number in the
    library, or by ``source`` and ``page_index`` (or ``page``, from 0, or ``page_label``). Others
    are skipped.

    Args:
        retriever: Any retriever over the same documents.
        name: Name to give in answers.
    """
    return select_by_metadata(
        lambda question: (found.metadata for found in retriever.invoke(question)),
        name,
        first_page=0,
    )


def _to_question(inputs: dict[str, Any]) -> list[Message]:
    question = inputs.get("input")
    if not isinstance(question, str):
        raise QuestionError("the chain's input needs 'input', the question as text")
    turns = [_to_turn(m) for m in convert_to_messages(inputs.get("chat_history") or [])]
    return [*turns, {"role": "user", "content": question}]


def _to_turn(message: BaseMessage) -> Message:
    if message.type == "system":
        return {"role": "system", "content": str(message.text)}
    role: Any = "assistant" if isinstance(message, AIMessage) else "user"
    return {"role": role, "content": str(message.text)}


def _to_outputs(inputs: dict[str, Any], library: Library, answer: Answer) -> dict[str, Any]:
    assert answer.selection is not None
    chosen = list(dict.fromkeys(page.number for page in answer.selection.pages))
    pages = {passage.number: passage for passage in library.passages}
    return {
        **inputs,
        "answer": answer.text,
        "citations": [to_plain(citation) for citation in answer.citations],
        "evidence": [to_plain(citation) for citation in answer.evidence],
        "support": answer.support,
        "supported": answer.supported,
        "selection": to_plain(answer.selection),
        "context": [
            to_document(pages[number].document, pages[number].page, passage=number)
            for number in chosen
            if number in pages
        ],
    }
