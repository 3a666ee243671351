"""How a component is made of a session, of paths or of documents; and its one prompt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.schema import BaseNode

from pace_integrations.adapters.call_settings import (
    HARMLESS,
    SPELLINGS,
    refuse_unknown_names,
    unify_names,
)
from pace_integrations.adapters.lazy_session import is_session
from pace_integrations.documents.discovery import Paths
from pace_integrations.errors import ConfigError
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.nodes import to_corpus

if TYPE_CHECKING:
    from pace_integrations.session import Session

_QUESTION = "text_qa_template"


class SessionFactories:
    """Mixin of `from_session`, `from_paths` and `from_documents`.

    Attributes:
        own_options: Names of the component's own options; others are settings of its `PaceLLM`.
    """

    own_options: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_session(cls, session: Session | str | Path, **options: Any) -> Self:  # noqa: ANN401
        """Return one over a session, or the folder of a saved one.

        Args:
            session: What is asked.
            **options: The component's own, and settings of its `PaceLLM`.
        """
        if not (is_session(session) or isinstance(session, (str, Path))):
            raise ConfigError(f"from_session needs a Session or a folder, not {session!r}")
        return cls._make(options, session=session)

    @classmethod
    def from_paths(cls, paths: Paths, **options: Any) -> Self:  # noqa: ANN401
        """Return one over files, folders or globs, which are read on first use.

        Args:
            paths: What to read.
            **options: As for `from_session`; ``pace`` or ``model`` chooses the model.
        """
        return cls._make(options, paths=paths)

    @classmethod
    def from_documents(cls, documents: Iterable[BaseNode], **options: Any) -> Self:  # noqa: ANN401
        """Return one over LlamaIndex documents or nodes; those of one file are its pages.

        Source nodes carry the documents' own metadata and ids.

        Args:
            documents: What a LlamaIndex reader gave.
            **options: As for `from_paths`.
        """
        return cls._make(options, corpus=to_corpus(documents))

    @classmethod
    def _make(cls, options: dict[str, Any], **given: Any) -> Self:  # noqa: ANN401
        own = {name: options.pop(name) for name in cls.own_options if name in options}
        fields = PaceLLM.model_fields
        known = {*fields, *HARMLESS, *(name for name in SPELLINGS), *cls.own_options}
        refuse_unknown_names(unify_names(options, {*fields, "model"}), known, cls.__name__)
        kind: Any = cls
        made: Self = kind(PaceLLM(**given, **options), **own)
        return made


class QuestionPrompt:
    """Mixin of the one prompt of a component: how a query becomes a question.

    The documents come first in every prompt and are read already, so ``{context_str}`` in a
    template is replaced by words that point to them.
    """

    _question_template: BasePromptTemplate = PromptTemplate("{query_str}")

    def _get_prompts(self) -> dict[str, BasePromptTemplate]:
        return {_QUESTION: self._question_template}

    def _update_prompts(self, prompts: dict[str, BasePromptTemplate]) -> None:
        if _QUESTION in prompts:
            self._question_template = prompts[_QUESTION]

    def _make_question(self, query: str) -> str:
        template = self._question_template
        values = {"query_str": query, "context_str": "(the documents above)"}
        used = {*template.template_vars, *(template.template_var_mappings or {})}
        filled: dict[str, Any] = {name: values[name] for name in values if name in used}
        return template.format(**filled)
