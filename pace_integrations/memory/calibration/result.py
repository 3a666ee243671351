"""Results of a calibration, as values that print as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pace_integrations.config import MemoryConfig

Quantiles = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class LossChange:
    """Change of the next-token loss by a memory, in nats per token; below zero is better.

    Attributes:
        mean: Mean difference from the model without memory.
        error: Standard error of the mean over the tokens.
    """

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f}"


@dataclass(frozen=True, slots=True)
class LayerCalibration:
    """The calibration of one layer.

    Attributes:
        layer: 0-based layer.
        quantiles: Quantiles of the best similarity of a token to the bank.
        alone: Change of the loss with the memory in this layer alone.
        thresholds: ``(theta_low, theta_high)`` chosen for it, or those it was tried with.
        kept: Whether the chosen memory has a bank here.
    """

    layer: int
    quantiles: Quantiles
    alone: LossChange
    thresholds: tuple[float, float]
    kept: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One memory that was tried.

    Attributes:
        layers: Its layers.
        shares: Shares of tokens below its thresholds.
        change: Change of the loss on the windows used to choose.
    """

    layers: tuple[int, ...]
    shares: tuple[float, float]
    change: LossChange


@dataclass(frozen=True, slots=True)
class Calibration:
    """Layers and thresholds found for a text, and how they were found.

    Attributes:
        config: Settings to load the model with; None keeps the memory off.
        layers: What was found for each layer.
        trials: Every memory that was tried, in order.
        loss: Next-token loss of the model without memory on the held-out windows.
        held_out: Change of that loss by the best memory found; None if none was any good.
        norm_alone: Change of that loss by the same memory's change of norm alone.
        tokens: Tokens used.
    """

    config: MemoryConfig | None
    layers: tuple[LayerCalibration, ...]
    trials: tuple[Trial, ...]
    loss: float
    held_out: LossChange | None
    norm_alone: LossChange | None
    tokens: int

    @property
    def length_alone(self) -> LossChange | None:
        """Return `norm_alone`, by its name in the first release."""
        return self.norm_alone

    def __str__(self) -> str:
        lines = [f"{self.tokens} tokens; loss without memory {self.loss:.4f} nats per token"]
        lines += ["layer  similarity (5 25 50 75 95 %)     low   high  alone"]
        for layer in self.layers:
            quantiles = " ".join(f"{q:5.2f}" for q in layer.quantiles.values())
            low, high = layer.thresholds
            mark = "  kept" if layer.kept else ""
            lines.append(
                f"{layer.layer:5}  {quantiles}  {low:6.2f} {high:6.2f}  {layer.alone}{mark}"
            )
        if self.norm_alone is not None:
            lines.append(f"control, the memory's change of length alone: {self.norm_alone}")
        return "\n".join([*lines, self._verdict_line()])

    def _verdict_line(self) -> str:
        if self.config is not None:
            return f"held-out change {self.held_out}: memory on in layers {self.config.layers}"
        if self.held_out is None:
            return "no layer lowers the loss: memory off"
        return f"held-out change {self.held_out}: the loss rises, memory off"
