"""For models that were not trained to read page by page: the chosen pages are read together.

What was read is kept under the pages and their order, the last few of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from itertools import pairwise

from torch import Tensor

from pace_integrations.errors import ConfigError
from pace_integrations.library.blocks import Block
from pace_integrations.library.prepared import Prepared
from pace_integrations.library.reader import BlockReader
from pace_integrations.model.engine import Context, Engine
from pace_integrations.model.pages import RowsContext

_KEPT = 4  # sets of pages
_CHUNK = 1024


class FullReader:
    """Reads sets of pages with full attention. Its methods run on the model's thread.

    Args:
        engine: The model.
        index: Reads each page once by itself, for what it is found by; None finds none by keys.
    """

    def __init__(self, engine: Engine, index: BlockReader | None = None) -> None:
        self.engine = engine
        self._index = index
        self._kept: OrderedDict[tuple[str, ...], tuple[Context, int]] = OrderedDict()
        self._prefix = engine.prompts.encode_prefix()

    @property
    def head_tokens(self) -> int:
        """Tokens that every prompt begins with."""
        return len(self._prefix)

    def encode(self, block: Block) -> list[int]:
        """Return the tokens of a page under its number."""
        return self.engine.prompts.encode_passage(
            block.number, block.document.title, block.page.label, block.passage.text
        )

    def count_tokens(self, block: Block) -> int:
        """Return the tokens of a page."""
        return len(self.encode(block))

    def vectors(self, block: Block) -> Tensor | None:
        """Return the index vectors of a page, or None where there are none."""
        return self._index.vectors(block) if self._index else None

    def query_vectors(self, question: str) -> Tensor:
        """Return the vectors of a question read without any page.

        Raises:
            ConfigError: Pages are not found by keys.
        """
        if self._index is None:
            raise ConfigError("pages read together are not found by their keys; take 'bm25'")
        return self._index.query_vectors(question)

    def prepare(self, groups: Sequence[Sequence[Block]]) -> Generator[int, None, list[Prepared]]:
        """Read groups of pages, or find them read; yields while it reads."""
        made = []
        for group in groups:
            key = tuple(block.key for block in group)
            read = 0
            if key not in self._kept:
                read = yield from self._read(key, group)
            self._kept.move_to_end(key)
            context, tokens = self._kept[key]
            twin = context.fork()
            rows = RowsContext(twin.cache, (tokens,))
            made.append(Prepared(rows, self.engine.asking_context(twin), tokens, read))
        return made

    def _read(self, key: tuple[str, ...], group: Sequence[Block]) -> Generator[int, None, int]:
        ids, context = list(self._prefix), self.engine.new_context()
        cuts = [len(ids)]
        parts = [self.encode(block) for block in group]
        for (before, after), part in zip(pairwise([None, *group]), parts, strict=True):
            if before is not None and after is not None and before.held != after.held:
                cuts.append(len(ids))
            ids += part
        yield from self.engine.read(ids, context, cuts=cuts, chunk=_CHUNK)
        self._kept[key] = (context, len(ids))
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return len(ids)
