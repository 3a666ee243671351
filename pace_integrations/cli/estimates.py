"""What to expect of a model on this machine, from a minute of trying it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import fmean, linear_regression
from typing import TYPE_CHECKING, Any

from pace_integrations.config import GenerationConfig, ReadConfig
from pace_integrations.documents import Corpus

if TYPE_CHECKING:
    from pace_integrations.session.pace import Pace

TOKENS_PER_PAGE = 500
MOST_TOKENS = 8192
ANSWER = GenerationConfig(max_new_tokens=32)
_LINE = "On day {i} the gauge in room {room} stood at {mark}, and the valve was opened for a while."


@dataclass(frozen=True, slots=True)
class Estimate:
    """Measured rates, and what follows from them for documents of any length.

    Reading a chunk takes a time that grows linearly with what was read before it (attention), so
    reading N tokens takes ``N * per_token + N**2 / 2 * per_past_token``.

    Attributes:
        tokens: Tokens read to measure.
        per_token: Seconds per token with nothing read before.
        per_past_token: Seconds that each token costs more for every token before it.
        first_token: Seconds from a question to its first token, with `tokens` read.
        written_per_second: Tokens written per second, with `tokens` read.
        weights: Bytes of the weights.
        cache_per_token: Bytes that are kept of every token read.
        banks: Bytes of the memory banks; they do not grow.
        context_window: Most tokens held at once.
    """

    tokens: int
    per_token: float
    per_past_token: float
    first_token: float
    written_per_second: float
    weights: int
    cache_per_token: int
    banks: int
    context_window: int

    def seconds(self, tokens: int) -> float:
        """Seconds to read so many tokens."""
        return tokens * self.per_token + tokens**2 / 2 * self.per_past_token

    def bytes(self, tokens: int) -> int:
        """Bytes of weights, cache and banks with so many tokens read."""
        return self.weights + self.banks + tokens * self.cache_per_token

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON-ready values."""
        return asdict(self)


def estimate_model(pace: Pace, *, seconds: float = 60.0) -> Estimate:
    """Read made-up notes chunk by chunk and asks one question about them.

    Args:
        pace: The model.
        seconds: Time after which no further chunk is begun.
    """
    config = ReadConfig(chunk=512)
    limit = min(MOST_TOKENS, pace.context_window - config.reserve)
    session = pace.read(_make_notes(pace, config.chunk, 0), config=config)
    pasts: list[int] = []
    costs: list[float] = []
    begin = time.perf_counter()
    while session.tokens + 2 * config.chunk < limit:
        past, start = session.tokens, time.perf_counter()
        session.add(_make_notes(pace, config.chunk, len(pasts) + 1))
        costs.append((time.perf_counter() - start) / (session.tokens - past))
        pasts.append(past)
        if time.perf_counter() - begin > seconds:
            break
    session.ask("What stood at 7?", generation=ANSWER)  # the first question makes buffers
    timings = (answer := session.ask("Where was it opened?", generation=ANSWER)).timings
    slope, base = linear_regression(pasts, costs) if len(pasts) > 1 else (0.0, fmean(costs))
    return Estimate(
        tokens=session.tokens,
        per_token=max(base, 0.0) or fmean(costs),
        per_past_token=max(slope, 0.0),
        first_token=timings.first_token,
        written_per_second=(answer.usage.output_tokens - 1)
        / max(timings.total - timings.first_token, 1e-9),
        context_window=pace.context_window,
        **session.footprint(),
    )


def _make_notes(pace: Pace, tokens: int, number: int) -> Corpus:
    """About `tokens` tokens of text that repeats nothing."""
    lines: list[str] = []
    count = 0
    while count < tokens - 20:
        i = number * 1000 + len(lines)
        lines.append(_LINE.format(i=i, room=i * 7 % 90, mark=i * 37))
        count += pace.count_tokens(lines[-1]) + 1
    return Corpus.from_texts({f"Notes {number}": "\n".join(lines)})
