"""Lookups step by step while a sequence was read: gathered on the device, read later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pace_integrations.memory.expert_split import merge_modules
from pace_integrations.memory.lookup import LookupResult

# Tokens of the last step that are kept for a picture of it: a bank has about as many slots.
RECENT = 128


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The steps of one sequence in one layer, as a value: recording one makes a new history.

    Recording waits for nothing: the counts stay on the device until somebody reads them.

    Attributes:
        steps: First position, position after the last, and lookups ``(high, medium, low)`` as a
            tensor ``(3,)`` of each complete step.
        recent: Activations of the last step ``(R, features)`` in float32, its tokens thinned out
            evenly to at most `RECENT`; None before the first step.
    """

    steps: tuple[tuple[int, int, Tensor], ...] = ()
    recent: Tensor | None = None

    def record_step(self, start: int, parts: Sequence[LookupResult], counts: Tensor) -> History:
        """Return the history with one more step.

        Args:
            start: Position of the step's first token.
            parts: Lookups of its tokens, of one sequence; its modules are rows.
            counts: Lookups ``(high, medium, low)`` of all parts.
        """
        tokens = sum(part.x.shape[1] for part in parts)
        step = (start, start + tokens, counts)
        return History(
            (*self.steps, step), _thin_tokens([p.x for p in parts], _thinning_stride(tokens))
        )

    def counts(self) -> list[tuple[int, int, int]]:
        """Return ``(high, medium, low)`` lookups of each step; reading waits for the device."""
        rows = self._steps_table()[:, 2:].tolist()
        return [(high, medium, low) for high, medium, low in rows]

    def _steps_table(self) -> Tensor:
        """Return steps as ``(S, 5)``: start, stop, high, medium, low."""
        if not self.steps:
            return torch.zeros(0, 5, dtype=torch.int64)
        spans = torch.tensor([step[:2] for step in self.steps])
        return torch.cat([spans, torch.stack([step[2] for step in self.steps]).cpu()], dim=1)


def pack_histories(histories: Sequence[History], features: int) -> dict[str, Tensor]:
    """Pack histories of sequences as ``steps`` (B, S, 5) and ``recent`` (B, R, features)."""
    tables = [history._steps_table() for history in histories]
    kept = [torch.zeros(0, features) if h.recent is None else h.recent.cpu() for h in histories]
    return {"steps": _pad_rows(tables, -1), "recent": _pad_rows(kept, 0)}


def unpack_history(tensors: Mapping[str, Tensor], row: int) -> History:
    """Return the history of one row of what `pack_histories` gave."""
    table = tensors["steps"][row].cpu()
    table = table[table[:, 0] >= 0]
    steps = tuple((int(line[0]), int(line[1]), line[2:]) for line in table)
    if not steps:
        return History()
    start, stop, _ = steps[-1]
    kept = -(-(stop - start) // _thinning_stride(stop - start))
    return History(steps, tensors["recent"][row, :kept])


def _thinning_stride(tokens: int) -> int:
    return -(-tokens // RECENT)


def _thin_tokens(parts: Sequence[Tensor], stride: int) -> Tensor:
    """Copy every `stride`-th token of parts ``(E, C, features / E)``, without joining them."""
    kept, passed = [], 0
    for part in parts:
        tokens = part[:, -passed % stride :: stride]
        kept.append(merge_modules(tokens, len(part))[0].to(torch.float32, copy=True))
        passed += part.shape[1]
    return torch.cat(kept)


def _pad_rows(tensors: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True, padding_value=value)
