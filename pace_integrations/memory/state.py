"""The memory of a sequence while it is read: the banks of all layers and the step that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.memory.bank import ActivationMemoryBank
from pace_integrations.memory.history import History, pack_histories, unpack_history
from pace_integrations.memory.layer_memory import LayerMemory
from pace_integrations.memory.projection import ProjectionSpec


class MemoryState:
    """The memory of a batch of sequences in every layer that carries a bank.

    Made by `MemoryPatch.new_state`. A step holds consecutive tokens of one sequence; it may arrive
    in several forwards, and is stored when it is complete. Rows share nothing.

    Args:
        config: Settings of the banks.
        specs: The projections that the banks belong to, by layer.
        batch: Sequences.
    """

    def __init__(
        self,
        config: MemoryConfig,
        specs: Mapping[int, ProjectionSpec],
        batch: int = 1,
    ) -> None:
        self.config = config
        self.batch = batch
        self._layers = {
            layer: [
                LayerMemory(
                    ActivationMemoryBank(
                        spec.features, config.at(layer), width=spec.width, device=spec.device
                    )
                )
                for _ in range(batch)
            ]
            for layer, spec in specs.items()
        }

    @property
    def layers(self) -> tuple[int, ...]:
        """0-based layers that carry a bank."""
        return tuple(self._layers)

    @property
    def positions(self) -> tuple[int, ...]:
        """Tokens that each sequence has read."""
        return tuple(row.position for row in next(iter(self._layers.values())))

    @property
    def position(self) -> int:
        """Tokens that the longest sequence has read."""
        return max(self.positions)

    @property
    def is_open(self) -> bool:
        """True while tokens wait for their step to be complete."""
        return any(row.is_open for rows in self._layers.values() for row in rows)

    @property
    def counts(self) -> dict[int, tuple[int, int, int]]:
        """Token lookups ``(high, medium, low)`` by layer, all rows together.

        They are gathered on the device; reading them here waits for it.
        """
        read = {}
        for layer, rows in self._layers.items():
            high, medium, low = torch.stack([row.counts() for row in rows]).sum(0).tolist()
            read[layer] = (high, medium, low)
        return read

    def total_counts(self) -> tuple[int, int, int]:
        """Return token lookups ``(high, medium, low)`` of all layers together."""
        high, medium, low = zip(*self.counts.values(), strict=True)
        return sum(high), sum(medium), sum(low)

    def reset_counts(self) -> None:
        """Start counting lookups from zero."""
        for rows in self._layers.values():
            for row in rows:
                row.reset_counts()

    def rows(self, layer: int) -> Sequence[LayerMemory]:
        """Return the memory of one layer, row by row."""
        return self._layers[layer]

    def bank(self, layer: int, row: int = 0) -> ActivationMemoryBank:
        """Return the bank of one layer and row."""
        return self._layers[layer][row].bank

    def flush(self) -> None:
        """Close the open step, at the end of a document or a corpus.

        Without an open step nothing happens. The next token starts a new step.
        """
        for rows in self._layers.values():
            for row in rows:
                row.flush()

    def clone(self) -> MemoryState:
        """Return an independent state with the same memory and counts of zero.

        It costs nothing: tensors are never written in place, so both share them until either
        replaces its own.
        """
        twin = MemoryState.__new__(MemoryState)
        twin.config, twin.batch, twin._layers = self.config, self.batch, self.snapshot()
        twin.reset_counts()
        return twin

    def tensors(self) -> dict[str, Tensor]:
        """Return what is worth saving: ``"<layer>.keys"`` and so on, rows stacked, and positions.

        Raises:
            ConfigError: A step is open; `flush` closes it.
        """
        if self.is_open:
            raise ConfigError(
                "a step of the memory is open and cannot be saved; call flush() first"
            )
        flat = {"positions": torch.tensor(self.positions)}
        for layer, rows in self._layers.items():
            states = [row.bank.state() for row in rows]
            flat |= {f"{layer}.{name}": torch.cat([s[name] for s in states]) for name in states[0]}
            past = pack_histories([row.history for row in rows], rows[0].bank.features)
            flat |= {f"{layer}.{name}": tensor for name, tensor in past.items()}
        return flat

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave; the open step, if there is one, is dropped.

        Raises:
            ConfigError: A tensor is missing or has another shape than this state's.
        """
        names = next(iter(self._layers.values()))[0].bank.state()
        keys = ["positions", *(f"{layer}.{name}" for layer in self._layers for name in names)]
        for key in keys:
            if key not in tensors or tensors[key].shape[0] != self.batch:
                raise ConfigError(f"memory state lacks {key!r} for {self.batch} sequence(s)")
        fresh = self.snapshot()
        for layer, rows in fresh.items():
            for i, row in enumerate(rows):
                own = {name: tensors[f"{layer}.{name}"][i : i + 1] for name in names}
                row.load(own, int(tensors["positions"][i]), _load_history(tensors, layer, i))
        self.restore(fresh)

    def snapshot(self) -> dict[int, list[LayerMemory]]:
        """Return the memory as it is now, for `restore`; it costs nothing."""
        return {layer: [row.copy() for row in rows] for layer, rows in self._layers.items()}

    def restore(self, snapshot: dict[int, list[LayerMemory]]) -> None:
        """Return to a snapshot, after a forward that did not reach its end."""
        self._layers = snapshot


def _load_history(tensors: Mapping[str, Tensor], layer: int, row: int) -> History:
    """Return the steps of one row; none in a state that was saved without them."""
    names = {name: f"{layer}.{name}" for name in ("steps", "recent")}
    if any(key not in tensors for key in names.values()):
        return History()
    return unpack_history({name: tensors[key] for name, key in names.items()}, row)
