"""One sequence in one layer: its bank, and the step whose tokens are still coming in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from pace_integrations.memory.bank import ActivationMemoryBank
from pace_integrations.memory.history import History
from pace_integrations.memory.lookup import LookupResult

_NONE = torch.zeros(3, dtype=torch.int64)


class LayerMemory:
    """The bank of one layer for one sequence, and the tokens of its open step.

    Attributes:
        bank: The bank, as it was before the open step.
        position: Tokens of the sequence that have passed.
        history: The complete steps so far.
    """

    def __init__(self, bank: ActivationMemoryBank) -> None:
        self.bank = bank
        self.position = 0
        self.history = History()
        self._parts: tuple[LookupResult, ...] = ()
        self._open = 0
        self._counts = self._step_counts = _NONE

    @property
    def is_open(self) -> bool:
        """True while tokens wait for their step to be complete."""
        return self._open > 0

    def ask(self, x: Tensor, outputs: Tensor | None = None) -> Tensor:
        """Look ``(1, C, features)`` up and store nothing."""
        out, counts = self.bank.ask(x, outputs=outputs)
        self._counts = self._counts.to(x.device) + counts
        return out

    def read(self, x: Tensor, cuts: Sequence[int], outputs: Tensor | None = None) -> Tensor:
        """Look the next tokens ``(1, C, features)`` up and store every step that they complete.

        Args:
            x: Activations.
            cuts: Sorted positions at which a new step starts, whatever the one before holds.
            outputs: What the block makes of them ``(1, C, width)``, with ``values="outputs"``.
        """
        done = []
        for start, stop, fresh in self._split_by_step(x.shape[1], cuts):
            if fresh:
                self.flush()
            y = None if outputs is None else outputs[:, start:stop]
            out, found, counts = self._look_up(x[:, start:stop], y)
            done.append(out)
            self._add_to_step(found, counts)
        if self._parts:
            # The rest of the forward's activations must not stay alive behind a view.
            self._parts = (*self._parts[:-1], self._parts[-1].copy_compact(x.dtype))
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)

    def flush(self) -> None:
        """Close the open step: store its tokens, however few. Without one nothing happens."""
        if self._open:
            start, device = self.position - self._open, self._parts[0].x.device
            span = torch.arange(start, self.position, device=device)
            self.bank.update(*self._parts, positions=span[None])
            self.history = self.history.record_step(start, self._parts, self._step_counts)
        self._close_step()

    def copy(self) -> LayerMemory:
        """Return an independent memory with the same contents; tensors are shared till changed."""
        twin = LayerMemory.__new__(LayerMemory)
        twin.__dict__.update(self.__dict__)
        twin.bank = self.bank.clone()
        return twin

    def load(self, state: Mapping[str, Tensor], position: int, history: History) -> None:
        """Take over a bank's tensors, a position and a history; an open step is dropped."""
        self.bank.load_state(state)
        self.position, self.history = position, history
        self._close_step()

    def counts(self) -> Tensor:
        """Return high, medium and low lookups ``(3,)`` since they were last reset, on the CPU."""
        return self._counts.cpu()

    def reset_counts(self) -> None:
        """Start counting lookups from zero."""
        self._counts = _NONE

    def _split_by_step(self, count: int, cuts: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
        """Yield parts of the next `count` tokens in one step each: start, stop, cut before."""
        start, first = 0, self.position
        while start < count:
            here = first + start
            following = bisect_right(cuts, here)
            fresh = following > 0 and cuts[following - 1] == here
            room = self.bank.config.step - (0 if fresh else self._open)
            limit = cuts[following] - first if following < len(cuts) else count
            stop = min(count, start + room, limit)
            yield start, stop, fresh
            start = stop

    def _look_up(self, x: Tensor, outputs: Tensor | None) -> tuple[Tensor, LookupResult, Tensor]:
        out, found = self.bank.begin_step(x, outputs=outputs)
        counts = found.count_hits(self.bank.config)
        self._counts = self._counts.to(x.device) + counts
        return out, found, counts

    def _add_to_step(self, found: LookupResult, counts: Tensor) -> None:
        tokens = found.x.shape[1]
        self._parts = (*self._parts, found)
        self._step_counts = self._step_counts.to(counts.device) + counts
        self._open += tokens
        self.position += tokens
        if self._open == self.bank.config.step:
            self.flush()

    def _close_step(self) -> None:
        """Leave no step open."""
        self._parts, self._open, self._step_counts = (), 0, _NONE
