"""How an object of either integration reaches its session: one way, for every call."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from pace_integrations.adapters.answer_format import History, ToolPolicy, plan_answer
from pace_integrations.adapters.batching import AnswerBatcher
from pace_integrations.adapters.call_settings import (
    GENERATION_FIELDS,
    CallSettings,
    merge_generation,
    read_call_settings,
)
from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.adapters.fields import LOAD_FIELDS, SOURCE_FIELDS, PaceSettings
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.adapters.prefix_cache import PrefixCache
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import ConfigError
from pace_integrations.model.overflow import OVERFLOWS

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message
    from pace_integrations.session import Session


class PaceFields(PaceSettings):
    """`PaceSettings`, and the session behind them."""

    _session_class: ClassVar[type[LazySession]] = LazySession
    _binding: LazySession = PrivateAttr()
    _other_models: dict[str, LazySession] = PrivateAttr(default_factory=dict)
    _prefix_caches: dict[int, PrefixCache] = PrivateAttr(default_factory=dict)
    _batcher: AnswerBatcher = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - Pydantic's signature
        """Bind the session; a bad setting is refused here, before anything is loaded."""
        super().model_post_init(context)
        if self.paths is not None and not isinstance(self.paths, (str, os.PathLike)):
            self.__dict__["paths"] = list(self.paths)
        self._binding = self._make_binding(
            self.model_name, session=self.session_source, pace=self.pace
        )
        self._batcher = AnswerBatcher(self.batch_size)
        self._base_generation()
        if OVERFLOWS[self.overflow].bounded and self.paths is None and self.corpus is None:
            # A conversation must fit the context with a window as without one.
            raise ConfigError(
                f"overflow={self.overflow!r} acts on documents that are read, and none are given; "
                "give paths= or corpus=, or a model that reads elsewhere: "
                f"pace=Pace.load(..., overflow={self.overflow!r})"
            )

    def _make_binding(self, model: str | None, **given: Any) -> LazySession:  # noqa: ANN401
        changed = {
            name: getattr(self, name)
            for name in LOAD_FIELDS
            if getattr(self, name) != type(self).model_fields[name].default
        }
        return self._session_class(
            **given,
            model=model,
            corpus=self.corpus,
            paths=self.paths,
            options={**changed, **self.load_options},
        )

    @property
    def session(self) -> Session:
        """The session that is asked; the first use loads the model and reads the corpus."""
        return self._binding.session

    async def asession(self) -> Session:
        """Return `session`, loading and reading without blocking the event loop."""
        return await self._binding.asession()

    def _find_session(self, model: str | None) -> LazySession:
        """Return the session of a call: another model reads the same documents for itself.

        Raises:
            ConfigError: Another model is named, and what was read is given as a session.
        """
        if model is None or model == self.model_name or model == self._binding.name:
            return self._binding
        if self.session_source is not None:
            raise ConfigError(
                f"model={model!r} cannot answer from a session that another model has read; give "
                "paths= or corpus= instead of session="
            )
        if model not in self._other_models:
            self._other_models[model] = self._make_binding(model)
        return self._other_models[model]

    def _find_prefixes(self, session: Session) -> PrefixCache:
        key = id(session)  # the lazy session keeps it, so the id stays its own
        return self._prefix_caches.setdefault(key, PrefixCache(session, self.held_prompts))

    def _base_generation(self) -> GenerationConfig:
        own = {name: getattr(self, name) for name in GENERATION_FIELDS}
        return merge_generation(GenerationConfig(), own)

    def _call_settings(self, overrides: Mapping[str, Any]) -> CallSettings:
        """Return the settings of one call."""
        base = self._base_generation()
        return read_call_settings(base, self.timeout, overrides, type(self).__name__)

    def _build_request(
        self,
        lazy: LazySession,
        options: Mapping[str, Any],
        history: History,
        convert: Callable[[bool], list[Message]],
        *,
        pinned: bool = False,
        numbers: Mapping[int, int] | None = None,
    ) -> ChatRequest:
        """Return one call on its way to the model.

        Args:
            lazy: Whose session is asked; what is not read yet is read now.
            options: Settings of the call, tools and schemas among them.
            history: What the conversation says of the answer.
            convert: Makes the session's messages, in plain words or with the marks of tool calls.
            pinned: Whether the prompt is marked to be kept.
            numbers: The caller's number of each passage.
        """
        session = lazy.session
        knows_tools = session.pace.knows_tools
        policy: ToolPolicy = getattr(self, "tool_policy", None) or (
            "model" if knows_tools else "first"
        )
        plain = policy == "first" and not knows_tools
        settings = self._call_settings(options)
        planned = plan_answer(options, history, policy, plain=plain)
        if planned.constraint is not None:
            generation = replace(settings.generation, constraint=planned.constraint)
            settings = replace(settings, generation=generation)
        return ChatRequest(
            session,
            planned.frame(convert(plain)),
            settings,
            planned,
            self._find_prefixes(session),
            self._batcher,
            pinned,
            lazy.take_fresh_tokens(),
            numbers or {},
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy over the same loaded model; `update` takes settings under any name.

        Raises:
            ConfigError: A name is not known.
        """
        changed = self._unify_settings(update or {})
        if changed.keys() & {*SOURCE_FIELDS, *LOAD_FIELDS, "model_name", "load_options"}:
            own = {name: getattr(self, name) for name in self.model_fields_set}
            return type(self)(**{**own, **changed})
        checked = type(self)(**changed) if changed else self
        changed = {name: getattr(checked, name) for name in changed}
        copied = super().model_copy(update=changed, deep=deep)
        if "batch_size" in changed:
            copied._batcher = AnswerBatcher(copied.batch_size)
        if "held_prompts" in changed:
            copied._prefix_caches = {}
        return copied

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any field's
        """Set a field; one of this package's settings is checked and takes effect at once."""
        if name not in PaceSettings.model_fields:
            super().__setattr__(name, value)
            return
        changed = self.model_copy(update={name: value})
        self.__dict__.update(changed.__dict__)
        for part in ("__pydantic_private__", "__pydantic_fields_set__"):
            object.__setattr__(self, part, getattr(changed, part))

    def with_session(self, session: Session) -> Self:
        """Return an object with the settings of this one over another session of its model."""
        other = self.model_copy()
        for name in (*SOURCE_FIELDS, "model_name"):
            other.__dict__[name] = None
        other.__dict__["session_source"] = session
        other._binding = self._session_class.wrap(session)
        other._other_models, other._prefix_caches = {}, {}
        other._batcher = AnswerBatcher(self.batch_size)
        return other

    def identify(self) -> dict[str, Any]:
        """Return what must be equal for two of these to answer alike; it may load and read."""
        return {**self._binding.identity(), "generation": asdict(self._base_generation())}

    def describe_documents(self) -> Sequence[Any]:
        """Return what tells apart the contents of the files that are to be read, or were read."""
        return self._binding.describe_documents()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return a copy with settings of its own over the same loaded model and session."""
        other = self.model_copy()
        for name in ("stop", "load_options"):
            other.__dict__[name] = copy.deepcopy(self.__dict__.get(name), memo)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as settings.

        Raises:
            ConfigError: A loaded model cannot travel.
        """
        for name, value in (("session", self.session_source), ("pace", self.pace)):
            if value is not None and not isinstance(value, (str, os.PathLike)):
                raise ConfigError(
                    f"a {type(self).__name__} over a live {name} cannot be pickled or sent to "
                    "another process; give it model= and paths=, or the folder of a saved session"
                )
        fields = {*type(self).model_fields} & self.model_fields_set
        kept = fields - {"callbacks", "callback_manager", "cache", "rate_limiter", "profile"}
        return _rebuild, (type(self), {name: getattr(self, name) for name in sorted(kept)})


def _rebuild(kind: type[PaceFields], settings: dict[str, Any]) -> PaceFields:
    return kind(**settings)
