"""Content and use of a memory, as plain numbers. Knows tokens, not documents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pace_integrations._renamed import keep_renamed
from pace_integrations.memory.lookup import inverse_norms
from pace_integrations.memory.state import MemoryState


@dataclass(frozen=True, slots=True)
class Hits:
    """Token lookups by how similar the most similar slot was.

    Attributes:
        high: Above ``theta_high``.
        medium: Between the thresholds.
        low: At or below ``theta_low``, and all lookups in an empty bank: left as they are.
    """

    high: int
    medium: int
    low: int

    @property
    def total(self) -> int:
        """All lookups."""
        return self.high + self.medium + self.low

    @property
    def rates(self) -> tuple[float, float, float]:
        """Shares of high, medium and low; zeros where nothing was looked up."""
        whole = max(self.total, 1)
        return self.high / whole, self.medium / whole, self.low / whole


@dataclass(frozen=True, slots=True)
class StepHits:
    """Lookups of one step of reading.

    Attributes:
        start: Position of its first token.
        stop: Position after its last token.
        hits: Its lookups.
    """

    start: int
    stop: int
    hits: Hits


@dataclass(frozen=True, slots=True)
class Slot:
    """A filled slot.

    Attributes:
        index: Its number in the bank.
        usage: How often it was used since it was last replaced, its own entry included.
        position: Position of the token that last wrote it.
        age: Tokens read since then; 1 for the last token.
        module: Module whose bank it belongs to; 0 without ``similarity="experts"``.
    """

    index: int
    usage: int
    position: int
    age: int
    module: int = 0


@dataclass(frozen=True, slots=True)
class LayerReport:
    """The bank of one layer and what it met while its sequence was read.

    With ``similarity="experts"`` each module of a token is a lookup.

    Attributes:
        layer: 0-based layer.
        modules: Modules, each with a bank of its own; 1 without ``similarity="experts"``.
        capacity: Slots of all modules, filled or not.
        steps: Lookups of each step in order.
        slots: The filled slots in order.
        effective_rank: Different directions among the keys: exponential of the entropy of their
            squared singular values, between 1 and the number of filled slots; 0 for an empty bank.
            The mean over modules.
        mean_cosine: Mean cosine of two keys; 0 with fewer than two. The mean over modules.
    """

    layer: int
    modules: int
    capacity: int
    steps: tuple[StepHits, ...]
    slots: tuple[Slot, ...]
    effective_rank: float
    mean_cosine: float

    @property
    def hits(self) -> Hits:
        """Lookups of all steps together."""
        return Hits(
            sum(step.hits.high for step in self.steps),
            sum(step.hits.medium for step in self.steps),
            sum(step.hits.low for step in self.steps),
        )


def build_report(state: MemoryState, row: int = 0) -> tuple[LayerReport, ...]:
    """Report what the memory of one sequence holds and met.

    Args:
        state: The memory; it stays as it is.
        row: Which sequence of a batch.
    """
    return tuple(_report_layer(state, layer, row) for layer in state.layers)


def project_activations(
    state: MemoryState, layer: int, row: int = 0, module: int = 0
) -> tuple[Tensor, Tensor]:
    """Project current and stored activations onto a plane, as in the paper's Figure 4.

    The plane is that of the first two principal components of both together, each activation
    brought to length 1 first: the bank compares directions, and a few activations are a hundred
    times as long as the others.

    Args:
        state: The memory.
        layer: A layer that carries a bank.
        row: Which sequence of a batch.
        module: Which module, with ``similarity="experts"``.

    Returns:
        Tokens of the last step ``(R, 2)``, thinned out evenly to at most 128, and keys of the
        filled slots ``(n, 2)``; float32 on the CPU.
    """
    memory = state.rows(layer)[row]
    banks = _split_banks(memory.bank.state())
    keys, recent = _filled_keys(banks[module]), memory.history.recent
    current = keys[:0]
    if recent is not None:
        current = recent.chunk(len(banks), dim=1)[module].float().cpu()
    both = torch.cat([current, keys])
    both = both * inverse_norms(both)[:, None]
    plane = _project_principal(both)
    return plane[: len(current)], plane[len(current) :]


def measure_diversity(keys: Tensor) -> tuple[float, float]:
    """Return effective rank and mean cosine of two of the keys ``(n, features)``."""
    unit = (keys * inverse_norms(keys)[:, None]).double()
    cosines = unit @ unit.T
    count = len(keys)
    pairs = count * (count - 1)
    mean = float(cosines.sum() - cosines.trace()) / pairs if pairs else 0.0
    # Squared singular values of the unit keys are eigenvalues of their cosines.
    power = torch.linalg.eigvalsh(cosines).clamp(min=0) if count else cosines.new_zeros(1)
    share = power / power.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entropy = torch.special.entr(share).sum()
    return (float(entropy.exp()) if float(power.sum()) > 0 else 0.0), mean


def _report_layer(state: MemoryState, layer: int, row: int) -> LayerReport:
    memory = state.rows(layer)[row]
    banks = _split_banks(memory.bank.state())
    ranks, cosines = zip(*(measure_diversity(_filled_keys(bank)) for bank in banks), strict=True)
    spans = [(start, stop) for start, stop, _ in memory.history.steps]
    steps = zip(spans, memory.history.counts(), strict=True)
    return LayerReport(
        layer,
        len(banks),
        len(banks) * state.config.slots,
        tuple(StepHits(start, stop, Hits(*counts)) for (start, stop), counts in steps),
        tuple(
            slot for i, bank in enumerate(banks) for slot in _list_slots(bank, memory.position, i)
        ),
        sum(ranks) / len(ranks),
        sum(cosines) / len(cosines),
    )


def _split_banks(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the tensors of one sequence's bank, module by module, on the CPU."""
    whole = {name: tensor[0].cpu() for name, tensor in state.items()}
    if whole["filled"].ndim == 0:
        return [whole]
    return [{n: t[i] for n, t in whole.items()} for i in range(len(whole["filled"]))]


def _list_slots(bank: dict[str, Tensor], end: int, module: int) -> tuple[Slot, ...]:
    filled = int(bank["filled"])
    usage, written = (bank[name][:filled].tolist() for name in ("usage", "written"))
    rows = enumerate(zip(usage, written, strict=True))
    return tuple(Slot(i, uses, at, end - at, module) for i, (uses, at) in rows)


def _filled_keys(bank: dict[str, Tensor]) -> Tensor:
    return bank["keys"][: int(bank["filled"])].float()


def _project_principal(x: Tensor) -> Tensor:
    """Return coordinates ``(N, 2)`` of rows on their first two principal components."""
    if len(x) < 2:
        return x.new_zeros(len(x), 2)
    centered = x - x.mean(0)
    left, values, _ = torch.linalg.svd(centered, full_matrices=False)
    left = left[:, :2] * values[:2]
    # The sign of a component is arbitrary: the entry largest in size points up.
    largest = left.abs().argmax(0, keepdim=True)
    plane = left * torch.where(left.gather(0, largest) < 0, -1.0, 1.0)
    return torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))


__getattr__ = keep_renamed(__name__)
