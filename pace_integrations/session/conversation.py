"""A conversation over a session: turns live in a fork of what was read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig, ReadConfig
from pace_integrations.model.engine import Context, Engine
from pace_integrations.model.prompts import Message
from pace_integrations.session.arguments import check_generation, check_question
from pace_integrations.session.base import (
    PendingAnswer,
    Question,
    SessionBase,
)
from pace_integrations.session.state import ReadState

if TYPE_CHECKING:
    from pace_integrations.session.pace import Pace


@dataclass(frozen=True, slots=True)
class _CachedPrompt:
    """The prompt of a turn, and the context that holds it after what was read."""

    ids: tuple[int, ...]
    context: Context


class Conversation(SessionBase):
    """Questions that see the turns before them. Made by `Session.fork`.

    A turn counts once its answer is complete: one that fails, is closed or times out leaves the
    conversation as it was. Ask one question at a time; two that are asked at once both follow the
    last complete turn. Earlier turns are not computed again where the cache can be cut.

    Attributes:
        pace: The model.
        history: The turns so far.
    """

    def __init__(
        self,
        pace: Pace,
        engine: Engine,
        state: ReadState,
        config: ReadConfig,
        history: tuple[Message, ...] = (),
    ) -> None:
        super().__init__(pace, engine, state, config)
        self.history = history
        self._last = _CachedPrompt((), state.context)

    def fork(self) -> Conversation:
        """Return a conversation that goes on from here and leaves this one as it is."""
        twin = Conversation(self.pace, self._engine, self._state, self._config, self.history)
        twin._last = self._last
        return twin

    def reset(self) -> None:
        """Forgets all turns."""
        self.history, self._last = (), _CachedPrompt((), self._state.context)

    def _prepare_answer(
        self, question: Question, generation: GenerationConfig | None
    ) -> PendingAnswer:
        check_question(question)
        new = [Message(role="user", content=question)] if isinstance(question, str) else question
        messages = (*self.history, *new)
        config, ids = check_generation(generation), tuple(self._encode_question(messages))
        self._check_room(len(ids), config)
        context, common = self._reuse_prefix(ids)

        def done(answer: Answer) -> None:
            self.history = (*messages, Message(role="assistant", content=answer.text))
            # The answer's own tokens may differ from those its text has in the next prompt.
            held = self._engine.fork_at(context, self._state.tokens + len(ids))
            self._last = (
                _CachedPrompt(ids, held) if held else _CachedPrompt((), self._state.context)
            )

        held = self._engine.retained_tokens(context, len(ids) - common + config.max_new_tokens)
        return PendingAnswer(messages, ids[common:], context, held, self._state, config, done)

    def _reuse_prefix(self, ids: tuple[int, ...]) -> tuple[Context, int]:
        """Return a context with as much of a prompt as is known, and the number of its tokens."""
        pairs = zip(self._last.ids, ids[:-1], strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        held = self._engine.fork_at(self._last.context, self._state.tokens + common)
        return (held, common) if held else (self._state.context.fork(), 0)
