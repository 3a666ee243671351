"""The content of a bank as a value: an update makes a new one, and the old stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pace_integrations.memory.lookup import inverse_norms


@dataclass(frozen=True, slots=True, eq=False)
class BankState:
    """Tensors of the banks of ``B`` sequences with ``M`` slots each.

    Attributes:
        keys: Activations that were stored ``(B, M, features)``, float32.
        values: What they became after the lookup ``(B, M, width)``, float32: activations, or
            outputs of the block.
        usage: How often each slot was used since it was last replaced ``(B, M)``, int64.
        filled: Filled slots of each sequence ``(B,)``, int64; slots fill in order.
        written: Position of the token that last wrote each slot ``(B, M)``, int64; -1 is never.
    """

    keys: Tensor
    values: Tensor
    usage: Tensor
    filled: Tensor
    written: Tensor

    @classmethod
    def create_empty(
        cls, batch: int, slots: int, features: int, width: int, device: torch.device | str | None
    ) -> BankState:
        """Make a state with no slot filled."""
        whole = torch.zeros(batch, slots, dtype=torch.int64, device=device)
        return cls(
            torch.zeros(batch, slots, features, dtype=torch.float32, device=device),
            torch.zeros(batch, slots, width, dtype=torch.float32, device=device),
            whole,
            torch.zeros(batch, dtype=torch.int64, device=device),
            torch.full_like(whole, -1),
        )

    @property
    def filled_mask(self) -> Tensor:
        """True for slots that are filled ``(B, M)``."""
        return torch.arange(self.usage.shape[1], device=self.usage.device) < self.filled[:, None]

    def inverse_key_norms(self) -> Tensor:
        """Return one over the norms of the keys ``(B, M)``; 0 where a key is zero."""
        return inverse_norms(self.keys)

    def to_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name, not copied."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, device: torch.device) -> BankState:
        """Return the same on another device."""
        return BankState(*(t.to(device) for t in self.to_dict().values()))
