"""The only token loop: a prompt's suffix goes in, text comes out, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from pace_integrations.answer import FinishReason
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import NumericalError
from pace_integrations.model._transformers import (
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    make_sampling_filter,
)
from pace_integrations.model.constrained.guide import make_guide
from pace_integrations.model.forward import ForwardContext, predict_next, prefill


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that one token added to an answer.

    Attributes:
        text: New text; empty while a character or a possible stop string is incomplete.
        tokens: Tokens written so far.
        finish: Why the answer ends with this piece, or None while it goes on.
    """

    text: str
    tokens: int
    finish: FinishReason | None = None


def decode_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    cache: Cache,
    config: GenerationConfig,
    *,
    chunk: int,
    around: ForwardContext,
) -> Iterator[TextDelta]:
    """Continue from `cache` with `ids` and write an answer.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        ids: The prompt's suffix: at least one token.
        cache: Cache to continue; it is extended.
        config: Length, sampling and stop strings.
        chunk: Most prompt tokens of one forward.
        around: Makes the context that each forward runs in.

    Yields:
        A delta for every token, the last one with `finish` set.
    """
    prompt = torch.tensor([list(ids)], device=model.device)
    # The last chunk goes through the LM head, for one position; those before it do not.
    last = (prompt.shape[1] - 1) // chunk * chunk
    if last:
        for _ in prefill(model, prompt[:, :last], cache, chunk=chunk, around=around):
            yield TextDelta("", 0)
    writer, fed = AnswerWriter(model, tokenizer, config), prompt[:, last:]
    while True:
        token, piece = writer.choose_token(predict_next(model, fed, cache, around=around))
        yield piece
        if piece.finish:
            return
        fed = token.view(1, 1)


class AnswerWriter:
    """Writes one answer: from logits to tokens to text.

    Args:
        model: The model, for its device and the tokens that end an answer.
        tokenizer: Its tokenizer.
        config: Length, sampling and stop strings.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: GenerationConfig
    ) -> None:
        self._choose = _TokenChooser(config, model.device)
        self._text = _TextDecoder(tokenizer, config.stop)
        self._ends = _end_tokens(model, tokenizer)
        self._guide = make_guide(config, tokenizer, self._ends)
        self._most = config.max_new_tokens
        self._name = model.name_or_path
        self._tokens = 0

    def choose_token(self, logits: torch.Tensor) -> tuple[torch.Tensor, TextDelta]:
        """Choose the next token from logits ``(1, vocabulary)``; return it and what it adds."""
        if not bool(logits.max().isfinite()):  # also where a single one is NaN
            raise NumericalError(
                f"{self._name!r} computed no finite numbers in {str(logits.dtype)[6:]}; load it "
                "with dtype='float32' (or 'bfloat16' instead of 'float16'), or check its files"
            )
        guide, choose = self._guide, self._choose
        token = guide.choose_token(logits, choose) if guide else choose(logits)
        self._tokens += 1
        if int(token) in self._ends:
            return token, TextDelta(self._text.flush_text(), self._tokens, "stop")
        piece = self._text.push_token(int(token))
        if self._text.stopped:
            return token, TextDelta(piece, self._tokens, "stop")
        if guide and guide.complete:
            return token, TextDelta(piece + self._text.flush_text(), self._tokens, "stop")
        if self._tokens == self._most:
            return token, TextDelta(piece + self._text.flush_text(cut=True), self._tokens, "length")
        return token, TextDelta(piece, self._tokens)


class _TokenChooser:
    """Picks the next token: the likeliest, or a sample of the likeliest."""

    def __init__(self, config: GenerationConfig, device: torch.device) -> None:
        self._greedy = config.temperature == 0
        if self._greedy:
            return
        self._random = torch.Generator(device=device)
        if config.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(config.seed)
        self._filter = make_sampling_filter(float(config.temperature), config.top_k, config.top_p)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        if self._greedy:
            return logits.argmax(dim=-1)
        with torch.inference_mode():
            scores = self._filter(logits)
            return torch.multinomial(scores.softmax(-1), 1, generator=self._random)[0]


class _TextDecoder:
    """Tokens to text, holding back what later tokens may still change.

    Held back are incomplete characters (several tokens can make one) and endings that may grow
    into a stop string. `stopped` is set when a stop string has appeared; the text ends before it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._ids: list[int] = []
        # Decoding restarts at `_anchor`, a few tokens back, so that it does not grow quadratic
        # yet still sees the token before (SentencePiece drops a leading space).
        self._anchor = self._done = 0
        self._held = ""
        self.stopped = False

    def push_token(self, token: int) -> str:
        self._ids.append(token)
        before = self._decode(self._ids[self._anchor : self._done])
        now = self._decode(self._ids[self._anchor :])
        if now.endswith("�"):
            return ""
        self._anchor, self._done = self._done, len(self._ids)
        return self._release(self._held + now[len(before) :])

    def flush_text(self, *, cut: bool = False) -> str:
        """Return what is still held back, when no token follows.

        Args:
            cut: Leave out a character of which the answer's last tokens are only the beginning.
        """
        before = self._decode(self._ids[self._anchor : self._done])
        rest = self._decode(self._ids[self._anchor :])[len(before) :]
        released = self._release(self._held + (rest.rstrip("\ufffd") if cut else rest))
        if self.stopped:
            return released
        held, self._held = self._held, ""
        return released + held

    def _release(self, text: str) -> str:
        cuts = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if cuts:
            self.stopped, self._held = True, ""
            return text[: min(cuts)]
        keep = max((_overlap_length(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _decode(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)


def _overlap_length(text: str, stop: str) -> int:
    """Return the length of the longest proper prefix of `stop` that `text` ends with."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids that end an answer, by the generation config and the tokenizer."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return {i for i in (*ids, tokenizer.eos_token_id) if isinstance(i, int)}
