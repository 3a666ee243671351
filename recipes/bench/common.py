"""What all measurements share: the model, the documents and the questions."""

from __future__ import annotations

from typing import Any

from pace_integrations import Corpus, MemoryConfig, Pace

CHUNK = 1024
ANSWER = 48
QUESTIONS = [f"What was measured in experiment {i}?" for i in range(16)]
Result = dict[str, Any]


def corpus(pace: Pace, tokens: int) -> Corpus:
    """Made-up laboratory notes of about `tokens` tokens, in pages."""
    lines, count = [], 0
    words = ["copper", "salt", "lens", "filter", "engine", "valve", "paper", "glass", "magnet"]
    while count < tokens:
        i = len(lines)
        first, second = words[i % 9], words[(i * 7 + 3) % 9]
        lines.append(f"In experiment {i} the {first} lay by the {second}, and {i * 37} was seen.")
        count += 1 + pace.count_tokens(lines[-1])
    pages = ["\n".join(lines[i : i + 20]) for i in range(0, len(lines), 20)]
    return Corpus.from_texts({"notes": "\f".join(pages)})


def load(arm: str, **options: object) -> Pace:
    """Return the embedded model for an arm: memory off, or on under the rule the arm names."""
    memory = None if arm == "off" else MemoryConfig(rule=arm)  # type: ignore[arg-type]
    return Pace.load(memory=memory, **options)  # type: ignore[arg-type]


def never_end(pace: Pace) -> None:
    """Make every answer as long as it may be."""
    pace._engine.loaded.model.generation_config.eos_token_id = None
    pace._engine.loaded.tokenizer.eos_token = None
