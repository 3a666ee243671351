"""Holds what a model writes to a grammar: a JSON schema, an expression, choices or a Lark grammar.

The grammar engine is llguidance. Added here is that an answer ends within its token budget
whatever the model: as long as the shortest way to a complete text is shorter than what is left of
the budget the model chooses among all allowed tokens, after that the shortest way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from llguidance import LLMatcher

from pace_integrations.config import Constraint, GenerationConfig
from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import PreTrainedTokenizerBase
from pace_integrations.model.constrained.grammar import compile_grammar, describe_refusal
from pace_integrations.model.constrained.tokens import Vocabulary, get_vocabulary

Choose = Callable[[torch.Tensor], torch.Tensor]

# A float64 has 17 significant digits; a weak model would write them without end.
_DIGITS = 17
# Tokens left beyond the shortest completion under which every token is checked against it.
_SLACK = 64
# Tokens in which the end of a text is looked for before it counts as out of reach.
_FAR = 2048
_LONGEST = 64  # bytes; longer tokens count as this long
# What ends a text soonest, in the order it is tried: in a string; after a digit, where more
# digits need not lead anywhere; and elsewhere, where values of one letter or digit may stand.
_IN_STRING = (b'"',)
_IN_NUMBER = (b"}", b"]", b",", b":", b'"')
_ELSEWHERE = (*_IN_NUMBER, b"1", b"0", b"n", b"f", b"t", b"-")


class Guide:
    """Chooses the tokens of one answer among those that its constraint allows.

    Args:
        constraint: What the answer must match.
        tokenizer: The model's tokenizer.
        ends: Ids that end an answer.
        budget: Most tokens of the answer.

    Attributes:
        complete: Whether the text is complete and nothing may follow.

    Raises:
        ConfigError: The constraint is malformed or uses what the engine does not know, the
            tokenizer is of no known kind, or the budget is too small for any matching text.
    """

    def __init__(
        self,
        constraint: Constraint,
        tokenizer: PreTrainedTokenizerBase,
        ends: Iterable[int],
        budget: int,
    ) -> None:
        self._vocabulary = get_vocabulary(tokenizer, frozenset(ends))
        self._ends = frozenset(ends)
        self._matcher = LLMatcher(self._vocabulary.engine, compile_grammar(constraint), log_level=0)
        if self._matcher.is_error():
            raise ConfigError(describe_refusal(constraint, self._matcher.get_error()))
        self._written = _JsonState()
        self._left = budget
        # JSON that is valid is whole, and its numbers need few digits; other text may be cut at the
        # budget, and may have as many digits as it likes.
        self._json = constraint.kind == "json_schema"
        way = _find_completion(self._matcher, self._vocabulary, self._written, max(budget, _FAR))
        if way is not None and len(way) > budget:
            raise ConfigError(
                f"the shortest text found that the constraint allows has {len(way)} tokens, more "
                f"than max_new_tokens={budget}; raise max_new_tokens or shorten the constraint"
            )
        # Where no way to an end was found (rare expressions) the model goes on unguarded.
        self._guarded = way is not None
        self._way = way  # to an end from here, where one is known
        self._need = len(way or ())
        self.complete = False

    def choose_token(self, logits: torch.Tensor, choose: Choose) -> torch.Tensor:
        """Return the next token ``(1,)``: `choose` among the allowed logits ``(1, vocabulary)``.

        An id that ends the answer is only given where the text is complete.
        """
        token = choose(self._mask_logits(logits))
        self._left -= 1
        if int(token) not in self._ends and self._may_cost(int(token)):
            token = torch.full_like(token, self._affordable_token(int(token)))
        else:
            self._way = self._rest_of_way(int(token))
        self._advance_state(int(token))
        return token

    def _mask_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits, minus infinity where a token is not allowed."""
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.bool)
        if self._json and self._written.digits >= _DIGITS:
            shorter = allowed & ~self._vocabulary.digits
            allowed = shorter if shorter.any() else allowed
        # Models pad their vocabulary, and few have tokens that their tokenizer lacks.
        width = min(len(allowed), logits.shape[-1])
        masked = torch.full_like(logits, float("-inf"))
        keep = allowed[:width].nonzero()[:, 0].to(logits.device)
        masked[:, keep] = logits[:, keep]
        return masked

    def _may_cost(self, token: int) -> bool:
        """Return True if a token may put the text's end out of reach: not within a long string."""
        if not self._guarded or self._left <= self._need + _SLACK:
            return self._guarded
        return not (self._written.quoted and b'"' not in self._vocabulary.bytes[token])

    def _affordable_token(self, token: int) -> int:
        """Return the token, or another if no complete text can follow it within the budget.

        Searches from different places may find ways of different lengths: the one that is known
        leads to an end in any case.
        """
        if (along := self._rest_of_way(token)) is not None:
            self._way, self._need = along, len(along)
            return token
        ahead = self._matcher.deep_copy()
        ahead.consume_token(token)
        written = self._written.after_text(self._vocabulary.bytes[token])
        way = _find_completion(ahead, self._vocabulary, written, self._left)
        if way is not None:
            self._way, self._need = way, len(way)
            return token
        here = self._way
        if here is None:
            here = _find_completion(self._matcher, self._vocabulary, self._written, self._left + 1)
        if here is None:
            return token
        self._way, self._need = here[1:], len(here) - 1
        return here[0] if here else min(self._ends, default=token)

    def _rest_of_way(self, token: int) -> list[int] | None:
        """Return what is left of the known way after a token that is its next one."""
        return self._way[1:] if self._way and self._way[0] == token else None

    def _advance_state(self, token: int) -> None:
        if token in self._ends:
            self.complete = True
            return
        self._matcher.consume_token(token)
        self._written = self._written.after_text(self._vocabulary.bytes[token])
        self.complete = self._matcher.is_stopped() or (
            self._left == 0 and self._json and self._matcher.is_accepting()
        )
        if self._matcher.is_error():
            raise ConfigError(f"the constraint became too complex: {self._matcher.get_error()}")


def make_guide(
    config: GenerationConfig, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int]
) -> Guide | None:
    """Return a guide for one answer, or None if its settings constrain nothing."""
    if config.constraint is None:
        return None
    return Guide(config.constraint, tokenizer, ends, config.max_new_tokens)


class _JsonState:
    """What must be known of the text so far: is a JSON string open, how long is the number."""

    def __init__(self, quoted: bool = False, escaped: bool = False, digits: int = 0) -> None:
        self.quoted = quoted
        self.digits = digits
        self._escaped = escaped

    def after_text(self, text: bytes) -> _JsonState:
        """Return the state after more text."""
        quoted, escaped, digits = self.quoted, self._escaped, self.digits
        for byte in text:
            if byte == ord('"') and not escaped:
                quoted = not quoted
            escaped = quoted and byte == ord("\\") and not escaped
            digits = digits + 1 if not quoted and 48 <= byte <= 57 else 0
        return _JsonState(quoted, escaped, digits)

    def closing(self) -> tuple[bytes, ...]:
        """Return what may end the text soonest here, best first."""
        if self.quoted:
            return _IN_STRING
        return _IN_NUMBER if self.digits else _ELSEWHERE


def _find_completion(
    matcher: LLMatcher, vocabulary: Vocabulary, written: _JsonState, budget: int
) -> list[int] | None:
    """Find a short way, in at most `budget` tokens, from where the matcher is to a complete text.

    Returns:
        Its tokens, or None if none was found. It is short, not provably the shortest.
    """
    search = _Search(matcher.deep_copy(), vocabulary, written)
    while not (search.matcher.is_accepting() or search.matcher.is_stopped()):
        if len(search.way) >= budget or not search.step():
            return None
    return search.way if len(search.way) <= budget and not search.matcher.is_error() else None


class _Search:
    """Looks for the end of a text, a step at a time."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary, written: _JsonState) -> None:
        self.matcher = matcher
        self.way: list[int] = []
        self._vocabulary = vocabulary
        self._written = written

    def step(self) -> bool:
        """Go one step on; return False where there is none."""
        forced = self.matcher.compute_ff_tokens()
        if forced:
            return self._take_tokens(forced)
        for text in self._written.closing():
            token = self._vocabulary.ids.get(text)
            if token is not None and self._take_tokens([token]):
                return True
        return self._take_any()

    def _take_tokens(self, tokens: list[int]) -> bool:
        if self.matcher.try_consume_tokens(tokens) < len(tokens):
            return False
        self.way += tokens
        for token in tokens:
            self._written = self._written.after_text(self._vocabulary.bytes[token])
        return True

    def _take_any(self) -> bool:
        """Take what was taken least often, so that no loop is endless."""
        vocabulary = self._vocabulary
        bias = np.frombuffer(self.matcher.compute_logit_bias(), dtype=np.uint8)
        allowed = np.flatnonzero((bias > 0) & (vocabulary.lengths > 0))
        if not allowed.size:
            return False
        lengths = vocabulary.lengths[allowed].clip(max=_LONGEST)
        if self._written.quoted and len(self.way) % 2:  # long tokens reach a least length sooner
            cost = 2 * (_LONGEST - lengths)
        else:  # short ones open nothing else, and marks end more than letters do
            cost = 2 * lengths + vocabulary.alphanumeric[allowed]
        taken = np.bincount(self.way, minlength=len(bias))[allowed]
        best = np.argmin(taken * (4 * _LONGEST) + cost)
        return self._take_tokens([int(allowed[best])])
