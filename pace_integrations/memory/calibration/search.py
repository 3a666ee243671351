"""Choosing layers and thresholds from text alone: no labels, only the model's next-token loss.

The paper leaves layers and thresholds to be set by hand. Here both come from the user's text, cut
into windows whose first part is read and whose second part is scored:

1. Per layer, the best similarity of each scored token to what the bank holds gives quantiles;
   thresholds are quantiles, so that a known share of tokens is reused, mixed or left alone.
2. On one half of the windows, each layer is tried alone, the layers that lower the loss are joined
   one after the other while it keeps falling, and other shares are tried for those that stay.
3. On the other half, which chose nothing, the choice must not raise the loss. If it does, the
   memory stays off.
4. As a control, the same memory's change of norm alone, without what it remembers (see
   `norm_control`): a gain that this reaches as well does not come from remembering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.feed_forward import dense_layers, find_projections, input_width
from pace_integrations.memory.bank import ActivationMemoryBank
from pace_integrations.memory.calibration.norm_control import MemoryControl, scale_norms
from pace_integrations.memory.calibration.result import (
    Calibration,
    LayerCalibration,
    LossChange,
    Trial,
)
from pace_integrations.memory.patch import MemoryPatch

Losses = Callable[[Tensor], Tensor]

# Shares of tokens below theta_low and below theta_high, the first ones tried first.
SHARES = ((0.25, 0.75), (0.5, 0.9), (0.75, 0.97), (0.05, 0.5))
_SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_VALUES = 2**22  # that quantiles are taken of
_MOST_LAYERS = 4  # tried together; the paper uses two


class Calibrator:
    """Finds layers and thresholds for a model and a text. Use it once.

    Args:
        model: A decoder-only model. It may carry a memory, if that is not active meanwhile.
        losses: Next-token losses ``(S,)`` of the second part of a window of ids ``(1, T)``.
        windows: Windows to choose on and windows to confirm on, ids ``(1, T)`` each.
        base: Settings that are kept: rule, slots, blend and so on.
        layers: Layers to try; None is every dense one.

    Raises:
        ConfigError: There is nothing to choose or to confirm on, or the settings change nothing.
        ModelPatchError: A layer has no block of a known form.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Losses,
        windows: tuple[Sequence[Tensor], Sequence[Tensor]],
        base: MemoryConfig,
        layers: Sequence[int] | None = None,
    ) -> None:
        if not all(windows):
            raise ConfigError("calibration needs at least one window to choose and one to confirm")
        if base.blend == 0:
            raise ConfigError("blend=0 changes nothing, so there is nothing to calibrate")
        self._model = model
        self._losses = losses
        self._choose, self._confirm = windows
        self._base = replace(base, layers=None, thresholds=None)
        chosen = tuple(layers) if layers is not None else dense_layers(model)
        self._projections = find_projections(model, chosen)
        self._similarities: dict[int, Tensor] = {}
        self._off: list[Tensor] = []
        self._trials: list[Trial] = []
        self._result: Calibration | None = None

    @property
    def result(self) -> Calibration:
        """The calibration found; a `ConfigError` before `run_steps` has come to its end."""
        if self._result is None:
            raise ConfigError("the calibration is not finished")
        return self._result

    def run_steps(self) -> Iterator[str]:
        """Calibrate, yielding what comes next before each step; nothing is held in between."""
        yield "similarities"
        self._similarities = self._probe_similarity()
        self._off = [self._window_loss(window) for window in self._choose]
        alone = {}
        for layer in self._projections:
            yield f"layer {layer}"
            alone[layer] = self._try_layers((layer,), SHARES[0])
        yield from self._join_layers(
            [i for i in sorted(alone, key=lambda i: alone[i]) if alone[i] < 0]
        )
        best = min(self._trials, key=lambda trial: trial.change.mean)
        yield "held-out windows"
        self._result = self._confirm_best(best)

    work = run_steps  # its name in the first release

    def _join_layers(self, promising: list[int]) -> Iterator[str]:
        """Add layers while the loss falls, then try other shares for those that stayed."""
        if not promising:
            return
        chosen: tuple[int, ...] = (promising[0],)
        lowest = min(trial.change.mean for trial in self._trials)
        for layer in promising[1:_MOST_LAYERS]:
            yield f"layers {sorted((*chosen, layer))}"
            if (change := self._try_layers((*chosen, layer), SHARES[0])) < lowest:
                chosen, lowest = (*chosen, layer), change
        for shares in SHARES[1:]:
            yield f"layers {sorted(chosen)}, other thresholds"
            self._try_layers(chosen, shares)

    def _try_layers(self, layers: tuple[int, ...], shares: tuple[float, float]) -> float:
        layers = tuple(sorted(layers))
        config = self._make_config(layers, shares)
        change = _loss_change(
            [self._window_loss(window, config) for window in self._choose], self._off
        )
        self._trials.append(Trial(layers, shares, change))
        return change.mean

    def _confirm_best(self, best: Trial) -> Calibration:
        """Confirm the best trial on windows that chose nothing."""
        off = [self._window_loss(window) for window in self._confirm]
        held_out = norms = config = None
        if best.change.mean < 0:
            config = self._make_config(best.layers, best.shares)
            held_out = _loss_change(
                [self._window_loss(window, config) for window in self._confirm], off
            )
            norms = _loss_change(
                [self._window_loss(w, config, norms_alone=True) for w in self._confirm], off
            )
        config = config if held_out is not None and held_out.mean <= 0 else None
        return Calibration(
            config,
            tuple(self._layer_result(i, best, config is not None) for i in self._projections),
            tuple(self._trials),
            float(torch.cat(off).mean()),
            held_out,
            norms,
            sum(window.shape[1] for window in (*self._choose, *self._confirm)),
        )

    def _layer_result(self, layer: int, best: Trial, on: bool) -> LayerCalibration:
        alone = next(trial for trial in self._trials if trial.layers == (layer,))
        chosen = layer in best.layers
        return LayerCalibration(
            layer,
            {q: self._similarity_quantile(layer, q) for q in _SHOWN},
            alone.change,
            self._choose_thresholds(layer, best.shares if chosen else alone.shares),
            on and chosen,
        )

    def _make_config(self, layers: tuple[int, ...], shares: tuple[float, float]) -> MemoryConfig:
        thresholds = tuple((layer, *self._choose_thresholds(layer, shares)) for layer in layers)
        return replace(self._base, layers=layers, thresholds=thresholds)

    def _choose_thresholds(self, layer: int, shares: tuple[float, float]) -> tuple[float, float]:
        low, high = (round(self._similarity_quantile(layer, share), 4) for share in shares)
        return low, high

    def _similarity_quantile(self, layer: int, share: float) -> float:
        seen = self._similarities[layer]
        return float(seen[:: -(-len(seen) // _MOST_VALUES)].quantile(share).clamp(-1, 1))

    @torch.no_grad()
    def _window_loss(
        self,
        window: Tensor,
        config: MemoryConfig | None = None,
        *,
        norms_alone: bool = False,
    ) -> Tensor:
        """Return losses of a window ``(S,)`` on the CPU in float64, with a memory or without."""
        with ExitStack() as stack:
            if config is not None:
                patch = MemoryPatch(self._model, config, beside=True)
                stack.callback(patch.remove)
                stack.enter_context(patch.reading(patch.new_state()))
                if norms_alone:
                    modules = [self._projections[layer] for layer in config.layers or ()]
                    outputs = config.values == "outputs"
                    stack.callback(MemoryControl(modules, scale_norms, outputs=outputs).remove)
            return self._losses(window).double().cpu()

    @torch.no_grad()
    def _probe_similarity(self) -> dict[int, Tensor]:
        """Return the best similarity of each scored token to the bank by layer, without memory."""
        seen: dict[int, list[Tensor]] = {layer: [] for layer in self._projections}
        with ExitStack() as stack:
            for layer, module in self._projections.items():
                # Similarities are those of the keys, whatever the values are.
                config = replace(self._base, values="activations")
                hook = partial(_record_similarity, seen[layer], input_width(module), config)
                stack.callback(module.register_forward_pre_hook(hook).remove)
            for window in self._choose:
                self._losses(window)
        return {layer: torch.cat(parts) for layer, parts in seen.items()}


def _record_similarity(
    seen: list[Tensor],
    features: int,
    config: MemoryConfig,
    module: nn.Module,
    args: tuple[Any, ...],
) -> None:
    """Read the first half of the activations into a bank and look the second half up."""
    x = args[0].reshape(1, -1, features)
    half = x.shape[1] // 2
    bank = ActivationMemoryBank(features, config, device=x.device)
    bank.step(x[:, :half])
    best = [
        bank.begin_step(part)[1].best.flatten() for part in x[:, half:].split(config.step, dim=1)
    ]
    seen.append(torch.cat(best).cpu())


def _loss_change(on: Sequence[Tensor], off: Sequence[Tensor]) -> LossChange:
    difference = torch.cat(list(on)) - torch.cat(list(off))
    error = difference.std() / len(difference) ** 0.5
    return LossChange(float(difference.mean()), float(error))
