"""Calibrates a memory on a corpus: cuts the text into windows and runs on the model's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import torch

from pace_integrations.config import MemoryConfig
from pace_integrations.documents import Corpus
from pace_integrations.errors import DocumentError
from pace_integrations.memory import Calibration, Calibrator
from pace_integrations.model.engine import Engine
from pace_integrations.model.forward import token_losses
from pace_integrations.session.state import number_passages

LEAST = 256  # tokens of a window: less text says nothing about a memory


def calibrate_memory(
    engine: Engine,
    corpus: Corpus,
    base: MemoryConfig,
    *,
    tokens: int,
    layers: Sequence[int] | None,
    progress: Callable[[str], None] | None,
) -> Calibration:
    """Find layers and thresholds for a corpus; see `Pace.calibrate`.

    Args:
        engine: The model; its own memory stays out of it.
        corpus: Text as it will be read.
        base: Settings that are kept.
        tokens: Most tokens of it to use.
        layers: Layers to try, or None for all.
        progress: Called with what is done next.

    Raises:
        DocumentError: The corpus is too short.
    """
    windows = [torch.tensor([ids]) for ids in _cut_windows(engine, corpus, base.step, tokens)]
    model = engine.loaded.model
    calibrator = Calibrator(
        model,
        lambda ids: token_losses(model, ids, ids.shape[1] - ids.shape[1] // 2),
        # Neighbours in turn, so that both halves see the whole corpus.
        (windows[::2], windows[1::2]),
        base,
        layers,
    )
    with closing(engine.thread.stream(calibrator.run_steps())) as steps:
        for step in steps:
            if progress is not None:
                progress(step)
    return calibrator.result


def _cut_windows(engine: Engine, corpus: Corpus, step: int, tokens: int) -> list[list[int]]:
    """Pieces of the corpus, spread evenly over it, each after the head of the prompt.

    Each is two memory steps long, as far as there is text: one to read and one to score.
    """
    ids: list[int] = []
    for p in number_passages(corpus):
        ids += engine.prompts.encode_passage(p.number, p.document.title, p.page.label, p.page.text)
    held = min(len(ids), tokens)
    size = min(max(2 * step, LEAST), held // 2, engine.loaded.context_window)
    if size < LEAST:
        raise DocumentError(
            f"calibration needs at least {2 * LEAST} tokens of text, and got {held}; give it more "
            "documents or a larger limit of tokens"
        )
    count, head = held // size, engine.prompts.encode_prefix()
    starts = [i * (len(ids) - size) // (count - 1) for i in range(count)]
    return [(head + ids[start : start + size])[:size] for start in starts]
