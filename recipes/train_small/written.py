"""Pages that were written for this recipe, with questions that try to mislead a reader."""

import json
import random
from pathlib import Path

from recipes.train_small.material import Asked, Passage

PAGES = Path(__file__).with_name("written.jsonl")


class Written:
    """Draws written pages.

    Args:
        path: JSON lines `{"title", "text", "asked": [[question, answer]], "unknown": [question]}`.
    """

    def __init__(self, path: Path = PAGES) -> None:
        self._pages = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def draw(self, rng: random.Random, count: int) -> list[Passage]:
        """Draw passages, each of a document of its own."""
        made = []
        for page in rng.sample(self._pages, min(count, len(self._pages))):
            label = str(rng.randint(1, 400)) if rng.random() < 0.5 else None
            asked = [Asked(question, answer) for question, answer in page["asked"]]
            made.append(Passage(page["title"], label, page["text"], asked, [*page["unknown"]]))
        return made
