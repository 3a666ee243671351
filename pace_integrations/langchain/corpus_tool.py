"""`PaceCorpusTool`: lets an agent ask what a session has read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.tools import ArgsSchema, BaseTool
from pydantic import BaseModel, ConfigDict, Field

from pace_integrations.adapters.citations import describe_citations
from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig
from pace_integrations.langchain.errors import translate_errors

if TYPE_CHECKING:
    from pace_integrations.session import Session
else:  # so that the field can be declared without PyTorch
    Session = Any


class _Question(BaseModel):
    """Arguments of the tool."""

    question: str = Field(description="The question, as a whole sentence.")


class PaceCorpusTool(BaseTool):
    """Answers a question from the documents, and says where the answer stands.

    The message to the agent is the answer with its sources; the artifact is the whole `Answer`.

    Attributes:
        session: What is asked.
        generation: How answers are written.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "ask_documents"
    description: str = (
        "Answers a question from the user's documents and names the pages. Use it for anything "
        "that the documents may say."
    )
    args_schema: ArgsSchema | None = _Question
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    session: Session
    generation: GenerationConfig | None = None

    def _run(
        self, question: str, run_manager: CallbackManagerForToolRun | None = None
    ) -> tuple[str, Answer]:
        with translate_errors():
            answer = self.session.ask(question, generation=self.generation)
        return _describe_answer(answer), answer

    async def _arun(
        self, question: str, run_manager: AsyncCallbackManagerForToolRun | None = None
    ) -> tuple[str, Answer]:
        with translate_errors():
            answer = await self.session.aask(question, generation=self.generation)
        return _describe_answer(answer), answer


def _describe_answer(answer: Answer) -> str:
    """Return an answer as an agent reads it, with the pages it rests on."""
    lines = describe_citations(answer.citations)
    return "\n".join([answer.text, *(["Sources:", *lines] if lines else [])])
