"""Training on an accelerator: many rows in one forward, under one mask.

The same rows, losses and matrices as in `model.py` and `train.py`, which are made for one row on
one core: there a row is read stretch by stretch, here all tokens see each other under a mask, and
kernels take whole batches.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from recipes.train_small.batches import KINDS, Batch
from recipes.train_small.model import LayerReader, Traced, rotation
from recipes.train_small.train import CONTRAST_WEIGHT, AdapterTraining, Schedule, Tally

HIDDEN = float("-inf")


class BatchReader(LayerReader):
    """Reads batches of rows, all tokens of a row under one mask."""

    def fold(self) -> dict[str, Tensor]:
        """Return the weights of the linear layers with their differences, by name."""
        folded = {}
        for key, down in self.adapter.down.items():
            weight = self._weights[f"{key.replace('/', '.')}.weight"]
            difference = (self.adapter.up[key] @ down) * self.adapter.scale
            folded[key.replace("/", ".")] = (weight.float() + difference).to(weight.dtype)
        return folded

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        bias: Tensor | None,
        folded: dict[str, Tensor],
        depth: int | None = None,
    ) -> Traced:
        """Read token ids.

        Args:
            ids: Token ids, `(rows, length)`.
            positions: Position of each token, same shape.
            bias: Added to the scores, `(rows, 1, length, length)`; all is causal when None.
            folded: What `fold` returned.
            depth: Number of layers to read; all of them when None.
        """
        cos, sin = (
            table.view(*ids.shape, self.head)[:, None]
            for table in rotation(positions.flatten(), self.head, self.theta, self.embedding.dtype)
        )

        def project(stem: str, names: Sequence[str], x: Tensor) -> list[Tensor]:
            return [x @ folded[f"{stem}.{name}"].t() for name in names]

        seen = None if bias is None else bias.expand(-1, self.heads, -1, -1)
        attend = partial(
            nn.functional.scaled_dot_product_attention, attn_mask=seen, is_causal=bias is None
        )
        return self._run_layers(ids, project, attend, (cos, sin), depth)


@dataclass(frozen=True)
class _Counted:
    """What was right in some batches, still on the device: copying it would wait for each step."""

    loss: Tensor
    weight: Tensor
    kinds: Tensor  # (kinds, 2): right, all
    tokens: Tensor
    found: Tensor


class BatchTrainer(AdapterTraining):
    """One training over batches.

    Args:
        reader: The model.
        schedule: How long and how fast.
    """

    def __init__(self, reader: BatchReader, schedule: Schedule) -> None:
        super().__init__(reader.adapter, schedule)
        self.reader = reader
        self._batches: Iterator[Batch] = iter(())
        self._counted: list[_Counted] = []
        self._tokens = 0

    def feed(self, batches: Iterator[Batch]) -> None:
        """Take these batches, the first of them for the present step."""
        self._batches = batches

    def update(self) -> float:
        """Take one step and return the number of tokens read."""
        batch = next(self._batches)
        self.backward(batch)
        self.apply_gradients()
        read = int((batch.positions > 0).sum())
        self._tokens += read
        return read

    def backward(self, batch: Batch) -> None:
        """Compute the gradients of a batch, and count what was right."""
        device = self.reader.embedding.device
        ids, positions, pages = (
            torch.from_numpy(part.astype(np.int64)).to(device, non_blocking=True)
            for part in (batch.ids, batch.positions, batch.pages)
        )
        weights = torch.from_numpy(batch.weights).to(device)
        folded = self.reader.fold()
        bias = _bias(torch.from_numpy(batch.visible).to(device), self.reader.embedding.dtype)
        traced = self.reader.read(ids, positions, bias, folded)
        bearing = weights[:, 1:] > 0
        target, weight = ids[:, 1:][bearing], weights[:, 1:][bearing]
        logits = self.reader.logits(traced.hidden[:, :-1][bearing])
        losses = nn.functional.cross_entropy(logits, target, reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        found = torch.zeros(2, device=device)
        if len(batch.questions):
            contrasted, found = self._contrast(batch, traced.keys, pages, folded)
            loss = loss + CONTRAST_WEIGHT * contrasted
        loss.backward()  # type: ignore[no-untyped-call]
        right = torch.zeros_like(bearing)
        right[bearing] = logits.detach().argmax(-1) == target
        self._count(batch, losses.detach() * weight, weight, right, bearing, found)

    def _contrast(
        self, batch: Batch, keys: Tensor, pages: Tensor, folded: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss of choosing the right page, and how many were chosen rightly."""
        device = keys.device
        ids = torch.from_numpy(batch.questions.astype(np.int64)).to(device)
        places = torch.arange(ids.shape[1], device=device).expand_as(ids)
        traced = self.reader.read(ids, places, None, folded, max(self.reader.index_layers) + 1)
        at, first, last = torch.from_numpy(batch.asked.astype(np.int64)).to(device).t()
        scored = (places >= first[:, None]) & (places < last[:, None])
        golds = torch.from_numpy(batch.golds).to(device)
        similar = torch.einsum("qthd,qshd->qths", traced.queries, keys[at])
        own = pages[at][:, None, None, :].expand_as(similar)
        best = similar.new_full((*similar.shape[:3], golds.shape[1]), -1.0)
        best = best.scatter_reduce(-1, own, similar, "amax", include_self=True)
        mean = (best.mean(2) * scored[..., None]).sum(1) / scored.sum(1, keepdim=True)
        there = torch.zeros_like(golds).scatter(1, pages[at], True)
        there[:, 0] = False  # what is no page
        # Hidden after the temperature: minus infinity times it has no gradient.
        scores = (mean * self.reader.adapter.temperature.exp()).masked_fill(~there, HIDDEN)
        chances = scores.log_softmax(1)
        of_gold = chances.masked_fill(~golds, 0.0).sum(1) / golds.sum(1)
        right = golds.gather(1, scores.argmax(1, keepdim=True)).float().sum()
        return -of_gold.mean(), torch.stack((right, right.new_tensor(len(golds))))

    def _count(
        self,
        batch: Batch,
        losses: Tensor,
        weight: Tensor,
        right: Tensor,
        bearing: Tensor,
        found: Tensor,
    ) -> None:
        at, place, kind = torch.from_numpy(batch.marks.astype(np.int64)).to(right.device).t()
        hits = torch.stack((right[at, place - 1].float(), torch.ones_like(place).float()), 1)
        kinds = torch.zeros(len(KINDS), 2, device=right.device).index_add(0, kind, hits)
        tokens = torch.stack((right.sum(), bearing.sum()))
        self._counted.append(_Counted(losses.sum(), weight.sum(), kinds, tokens, found))

    def progress_line(self) -> str:
        """Return tokens per second and what was right, and start counting anew."""
        tally = Tally()
        for one in self._counted:
            tally.add("loss", one.loss.item(), one.weight.item())
            for name, (right, count) in zip(KINDS, one.kinds.tolist(), strict=True):
                tally.add(name, right, count)
            tally.add("token", *one.tokens.tolist())
            tally.add("found", *one.found.tolist())
        now = time.monotonic()
        line = f"{self._tokens / (now - self._begun):.0f} tokens/s {tally.line()}"
        self._counted, self._tokens, self._begun = [], 0, now
        return line


def _bias(bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where a query sees a key, else minus infinity, `(rows, 1, length, length)`."""
    shifts = torch.arange(7, -1, -1, device=bits.device, dtype=torch.uint8)
    seen = ((bits[..., None] >> shifts) & 1).flatten(-2).bool()
    zero = torch.zeros((), dtype=dtype, device=bits.device)
    return torch.where(seen, zero, HIDDEN)[:, None].to(dtype)
