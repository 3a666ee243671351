"""The protocol of what may take part in a model's forwards, such as an activation memory.

The engine drives a patch through this protocol alone: it knows neither banks nor rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from torch import Tensor


class PatchState(Protocol):
    """What a patch has taken in of one sequence; kept and saved beside the KV cache."""

    def clone(self) -> Self:
        """Return an independent state that continues from this one."""
        ...

    def flush(self) -> None:
        """Complete what waits for more tokens, at the end of a reading."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return everything worth saving, by name."""
        ...

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        ...


class ForwardPatch(Protocol):
    """Something attached to a model that changes nothing until one of its states is active."""

    @property
    def writes_while_decoding(self) -> bool:
        """Return True if question and answer change the state too."""
        ...

    def new_state(self) -> PatchState:
        """Return an empty state for one sequence."""
        ...

    def reading(
        self,
        state: Any,  # noqa: ANN401 - a state of its own making
        *,
        cuts: Sequence[int] = (),
    ) -> AbstractContextManager[object]:
        """Return the context of forwards whose tokens are taken into a state.

        Args:
            state: The state.
            cuts: Positions in the sequence at which documents start.
        """
        ...

    def asking(self, state: Any) -> AbstractContextManager[object]:  # noqa: ANN401
        """Return the context of forwards that only look into a state."""
        ...

    def remove(self) -> None:
        """Take itself off the model."""
        ...
