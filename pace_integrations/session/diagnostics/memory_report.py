"""What a session's memory holds, and which page each slot came from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from pace_integrations.errors import ConfigError
from pace_integrations.memory import LayerReport, MemoryState, Slot, build_report
from pace_integrations.model.engine import Engine
from pace_integrations.session.citations import Passage

_AROUND = 5  # tokens shown on each side of the one that was stored


@dataclass(frozen=True, slots=True)
class Span:
    """Where the tokens of one page stand in what was read.

    Attributes:
        passage: Number of the page as the model saw it.
        document: Title of the document.
        document_id: Stable id of the document.
        page: 1-based page index in the document.
        page_label: Label printed on the page, or None.
        start: Position of its first token.
        stop: Position after its last token.
    """

    passage: int
    document: str
    document_id: str
    page: int
    page_label: str | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stored token came from.

    Attributes:
        position: Its position in what was read.
        span: The page it stands on; None for the instruction in front of the documents.
        words: The text around it.
    """

    position: int
    span: Span | None
    words: str


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What the memory of a session holds and how it was used while reading.

    A slot's origin is the token that last wrote it. Under ``rule="slotwise"`` that is all it
    holds; the other rules merge, and then it is the last of many.

    Attributes:
        tokens: Tokens read.
        layers: The bank of each patched layer.
        spans: The pages in order.
        origins: Where each stored token came from, by its position.
    """

    tokens: int
    layers: tuple[LayerReport, ...]
    spans: tuple[Span, ...]
    origins: Mapping[int, Origin]

    def __str__(self) -> str:
        lines = [f"{self.tokens} tokens read"]
        for layer in self.layers:
            high, medium, low = (f"{100 * rate:.1f} %" for rate in layer.hits.rates)
            pages = len(self.by_page(layer))
            lines.append(
                f"layer {layer.layer}: {len(layer.slots)} of {layer.capacity} slots from {pages} "
                f"pages, effective rank {layer.effective_rank:.1f}; hits {high} high, {medium} "
                f"medium, {low} low"
            )
        return "\n".join(lines)

    def origin(self, slot: Slot) -> Origin:
        """Return the origin of a slot's content."""
        return self.origins[slot.position]

    def by_page(self, layer: LayerReport) -> dict[Span | None, tuple[Slot, ...]]:
        """Return a layer's slots by the page they came from, in order of first position."""
        pages: dict[Span | None, list[Slot]] = {}
        for slot in sorted(layer.slots, key=lambda s: s.position):
            pages.setdefault(self.origin(slot).span, []).append(slot)
        return {span: tuple(slots) for span, slots in pages.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON-ready values."""
        return {
            "tokens": self.tokens,
            "layers": [self._layer(layer) for layer in self.layers],
            "pages": [asdict(span) for span in self.spans],
        }

    def _layer(self, layer: LayerReport) -> dict[str, Any]:
        slots = [{**asdict(slot), **_flatten_origin(self.origin(slot))} for slot in layer.slots]
        return {**asdict(layer), "hits": asdict(layer.hits), "slots": slots}


def build_memory_report(
    engine: Engine, state: MemoryState | None, passages: Sequence[Passage]
) -> MemoryReport:
    """Look into a memory and traces its slots back to pages.

    The positions of pages follow from encoding them again, as they were encoded to be read.

    Args:
        engine: The model that read.
        state: Its memory.
        passages: What was read, in order.

    Raises:
        ConfigError: The memory is off.
    """
    if state is None:
        raise ConfigError(
            "there is no memory to look into: the model was loaded with memory=None; load it with "
            "memory=MemoryConfig()"
        )
    pieces = [engine.prompts.encode_prefix()]
    pieces += [
        engine.prompts.encode_passage(p.number, p.document.title, p.page.label, p.page.text)
        for p in passages
    ]
    ids = [token for piece in pieces for token in piece]
    borders = list(accumulate(map(len, pieces)))
    spans = tuple(
        _page_span(p, start, stop)
        for p, start, stop in zip(passages, borders, borders[1:], strict=False)
    )
    layers = build_report(state)
    stored = sorted({slot.position for layer in layers for slot in layer.slots})
    words = _decode_around(engine, ids, stored)
    origins = {at: Origin(at, _find_span(spans, at), words[at]) for at in stored}
    return MemoryReport(state.position, layers, spans, origins)


def _page_span(passage: Passage, start: int, stop: int) -> Span:
    document, page = passage.document, passage.page
    return Span(passage.number, document.title, document.id, page.index, page.label, start, stop)


def _find_span(spans: Sequence[Span], position: int) -> Span | None:
    """Return the page that holds a position."""
    index = bisect_right(spans, position, key=lambda span: span.start) - 1
    return spans[index] if index >= 0 and position < spans[index].stop else None


def _decode_around(engine: Engine, ids: Sequence[int], positions: Sequence[int]) -> dict[int, str]:
    """Return the text around each position, on one line."""
    pieces = [ids[max(0, at - _AROUND) : at + _AROUND + 1] for at in positions]
    texts = (engine.loaded.tokenizer.decode(list(piece)) for piece in pieces)
    return {at: " ".join(str(text).split()) for at, text in zip(positions, texts, strict=True)}


def _flatten_origin(origin: Origin) -> dict[str, Any]:
    """Return the origin of a slot as flat values; None for what is not on a page."""
    span = origin.span
    return {
        "passage": span and span.passage,
        "document": span and span.document,
        "page": span and span.page,
        "page_label": span and span.page_label,
        "words": origin.words,
    }
