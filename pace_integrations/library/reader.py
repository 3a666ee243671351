"""The model's side of a library: reads passages that were not read yet, and puts them together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext

from torch import Tensor

from pace_integrations.errors import ContextOverflowError
from pace_integrations.library.blocks import Block
from pace_integrations.library.page_store import PageStore
from pace_integrations.library.prepared import Prepared
from pace_integrations.library.profile import ReadingProfile
from pace_integrations.model.engine import Engine
from pace_integrations.model.pages import BlockState, PageAttention

_FLUSH = 2048  # tokens read until they are written to disk: what a kill can lose
_MADE_UP = ("abc", "xyz")


def model_key(engine: Engine, *, states: str) -> str:
    """Return the key of a model's states: equal for two that read alike, bit for bit.

    Args:
        engine: The model.
        states: How states are kept.
    """
    facts = engine.loaded.identity_facts()
    # Names may change, and how a session's cache is kept does not reach a page's state.
    facts |= {"model": None, "adapter": None, "kv": None, "states": states}
    probe = engine.prompts.encode_passage(12, "title", "label", "text")
    text = json.dumps([facts, probe], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class BlockReader:
    """Reads the passages of a library with one model. Its methods run on the model's thread.

    Args:
        engine: The model.
        store: Where states are kept.
        profile: How the model was trained to read pages.
        keeps_states: Whether states are kept, or only the vectors that pages are found by.

    Raises:
        ConfigError: The model's pages cannot be kept by themselves.
    """

    def __init__(
        self,
        engine: Engine,
        store: PageStore,
        profile: ReadingProfile,
        *,
        keeps_states: bool = True,
    ) -> None:
        self._keeps_states = keeps_states
        self.engine = engine
        self.store = store
        self.profile = profile
        self.pages = PageAttention(engine.loaded.model)
        self._head: BlockState | None = None
        self._counts: dict[str, int] = {}

    def encode(self, block: Block) -> list[int]:
        """Return the tokens of a passage under its page's number."""
        return self.engine.prompts.encode_passage(
            block.number, block.document.title, block.page.label, block.passage.text
        )

    def count_tokens(self, block: Block) -> int:
        """Return the tokens of a passage."""
        if block.key not in self._counts:
            self._counts[block.key] = len(self.encode(block))
        return self._counts[block.key]

    def head(self) -> BlockState:
        """Return the state of the head that every prompt begins with."""
        if self._head is None:
            ids = self.engine.prompts.encode_prefix()
            self._head = next(state for _, state in self.pages.read_blocks([ids]))
        return self._head

    @property
    def head_tokens(self) -> int:
        """Tokens that every prompt begins with."""
        return self.head().tokens

    def prepare(self, groups: Sequence[Sequence[Block]]) -> Generator[int, None, list[Prepared]]:
        """Put groups of passages together, one row each; reads what no state is kept of."""
        blocks = [block for group in groups for block in group]
        states, read = yield from self._load(blocks)
        head, rest = self.head(), iter(states)
        rows = self.pages.stitch_rows(head, [[next(rest) for _ in group] for group in groups])
        tokens = head.tokens + sum(state.tokens for state in states)
        return [Prepared(rows, nullcontext, tokens, read)]

    def vectors(self, block: Block) -> Tensor | None:
        """Return the index vectors of a passage, or None where it was not read."""
        return self.store.vectors(block.key)

    def query_vectors(self, question: str) -> Tensor:
        """Return the vectors of a question read without any page."""
        ids, skipped = encode_alone(self.engine, question)
        vectors = self.pages.query_vectors(ids, self.profile.index_layers)[skipped:]
        return self.profile.select_heads(vectors)

    def unread(self, blocks: Sequence[Block]) -> list[Block]:
        """Return the passages that this model has never read; evicted states do not count."""
        return [
            block
            for block in blocks
            if not (self._keeps_states and block.key in self.store)
            and self.store.vectors(block.key) is None
        ]

    def read(self, blocks: Sequence[Block]) -> Iterator[int]:
        """Read passages and keep them, yielding how many tokens are done."""
        done = 0
        try:
            for group in self._group(blocks):
                states: dict[str, BlockState] = {}
                ids = [self.encode(block) for block in group]
                for i, state in self.pages.read_blocks(ids):
                    states[group[i].key] = state
                    done += state.tokens
                    yield done
                self._keep(group, states)
        finally:
            self.store.send()

    def _load(self, blocks: Sequence[Block]) -> Generator[int, None, tuple[list[BlockState], int]]:
        """Return the states of passages, and how many tokens had to be read."""
        found: dict[str, BlockState | None] = {
            block.key: self.store.load(block.key) for block in blocks
        }
        missing = [block for block in blocks if found[block.key] is None]
        for group in self._group(missing):
            states: dict[str, BlockState] = {}
            for i, state in self.pages.read_blocks([self.encode(block) for block in group]):
                states[group[i].key] = state
                yield state.tokens
            self._keep(group, states)
            # As they will be found: eight bits hold less than what was read.
            found |= {key: self.store.load(key) or read for key, read in states.items()}
        if missing:
            self.store.send()
        kept = [own for block in blocks if (own := found[block.key]) is not None]
        return kept, sum(self.count_tokens(block) for block in missing)

    def _keep(self, group: Sequence[Block], states: dict[str, BlockState]) -> None:
        layers, select = self.profile.index_layers, self.profile.select_heads
        vectors = {
            k: select(self.pages.key_vectors(s, layers)) for k, s in states.items() if layers
        }
        self.store.put(group[0].held, states if self._keeps_states else {}, vectors)

    def _group(self, blocks: Sequence[Block]) -> Iterator[list[Block]]:
        """Yield passages of one document that are written to disk together."""
        group: list[Block] = []
        tokens = 0
        for block in blocks:
            count = self.count_tokens(block)
            self._check_length(block, count)
            if group and (block.held != group[0].held or tokens + count > _FLUSH):
                yield group
                group, tokens = [], 0
            group.append(block)
            tokens += count
        if group:
            yield group

    def _check_length(self, block: Block, tokens: int) -> None:
        limit = self.engine.loaded.context_window - self.head().tokens
        if tokens > limit:
            raise ContextOverflowError(
                f"page {block.page.index} of {block.document.title!r} is {tokens} tokens long, and "
                f"{limit} fit the context of {self.engine.loaded.name!r} beside the instruction; "
                "open the library with a passage size, or load a model with a longer context",
                needed=tokens,
                limit=limit,
            )


def encode_alone(engine: Engine, question: str) -> tuple[list[int], int]:
    """Return a question as a user's turn by itself, and how many tokens precede it."""
    encode, tokenizer = engine.prompts.encode_suffix, engine.loaded.tokenizer
    ids, others = encode(question), [encode(text) for text in _MADE_UP]
    shared = next(i for i, (a, b) in enumerate(zip(*others, strict=False)) if a != b)
    # What ends the system's turn is not part of the user's.
    end = tokenizer.eos_token_id
    start = ids[:shared].index(end) + 1 if end in ids[:shared] else 0
    while start < shared and not str(tokenizer.decode([ids[start]])).strip():
        start += 1
    return ids[start:], shared - start
