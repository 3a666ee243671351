"""The Activation Memory Bank of PaceLLM (arXiv 2506.17310, section 3.2), one per sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from pace_integrations.config import MemoryConfig
from pace_integrations.errors import ConfigError
from pace_integrations.memory import expert_split as modules
from pace_integrations.memory.bank_state import BankState
from pace_integrations.memory.frozen_lookup import FrozenLookup
from pace_integrations.memory.lookup import (
    LookupResult,
    blend_values,
    join_results,
    look_up_tokens,
    preserve_norms,
)
from pace_integrations.memory.rules import UPDATES


class ActivationMemoryBank:
    """Banks of ``batch`` independent sequences: `M` slots of keys and values each.

    Arithmetic is float32 whatever the dtype of the activations. The bank's tensors are values: an
    update replaces them and never writes into them, so that what `state` or `clone` handed out
    stays as it was, and copying a bank costs nothing.

    Args:
        features: Width of the activations (``d_ff``).
        config: Rule, slots, thresholds and weights.
        batch: Sequences; no row ever sees another row's bank.
        width: Width of the block's outputs, with ``values="outputs"``.
        device: Where the bank lives; None is PyTorch's default device.

    Raises:
        ConfigError: The modules of ``similarity="experts"`` do not divide the features, or the
            width of the outputs is not given.
    """

    def __init__(
        self,
        features: int,
        config: MemoryConfig,
        *,
        batch: int = 1,
        width: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.features = features
        self.config = config
        self.batch = batch
        self._modules = modules.count_modules(features, config)
        if config.values == "outputs" and width is None:
            raise ConfigError("values='outputs' needs the width of the block's outputs")
        self.width = features if config.values == "activations" or width is None else width
        self._seen: Tensor
        self._empty_bank(device)

    def step(
        self,
        x: Tensor,
        write: bool = True,
        *,
        outputs: Tensor | None = None,
        mask: Tensor | None = None,
        position: int | Tensor | None = None,
    ) -> Tensor:
        """Look tokens up and store them, `config.step` columns at a time.

        Args:
            x: Activations ``(batch, C, features)``. Within a step every token is looked up before
                any is stored; more than `config.step` columns are cut into steps.
            write: Whether the tokens are stored; without it this is `lookup`.
            outputs: What the block makes of `x` ``(batch, C, width)``, with ``values="outputs"``.
            mask: True for tokens, False for padding ``(batch, C)``. Padding passes unchanged and
                never enters the bank.
            position: Position of the first token of each row in its sequence, an integer or a
                tensor ``(batch,)``; None counts on from the tokens stored before.

        Returns:
            The activations, or the outputs, with the memory mixed in, in their shape and dtype.

        Raises:
            ConfigError: The shape of `x` does not fit the bank.
        """
        source = self._check_shapes(x, outputs)
        live = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        live = live if mask is None else mask.to(x.device, torch.bool)
        # Padding holds no place in the sequence: the n-th token of a row is its n-th true one.
        first = self._seen if position is None else position
        positions = self._token_positions(first, live)
        size, done = self.config.step, []
        for start in range(0, x.shape[1], size):
            part = slice(start, start + size)
            out, found = self.begin_step(
                x[:, part],
                outputs=None if outputs is None else outputs[:, part],
                mask=None if mask is None else live[:, part],
            )
            done.append(out)
            if write:
                self.update(found, positions=positions[:, part])
                self._seen = positions[:, part][:, -1] + 1
        if self.config.blend == 0:
            return source
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)

    def lookup(
        self, x: Tensor, *, outputs: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the activations, or the outputs, with the memory mixed in; nothing is stored."""
        return self.begin_step(x, outputs=outputs, mask=mask)[0]

    def ask(self, x: Tensor, *, outputs: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look tokens up and store nothing: `lookup` for banks that are asked one token at a time.

        Few tokens take a short way that was prepared for the bank as it is (see `frozen_lookup`);
        clones share the preparation until one of them changes.

        Args:
            x: Activations ``(batch, C, features)``.
            outputs: What the block makes of them ``(batch, C, width)``, with
                ``values="outputs"``.

        Returns:
            What `lookup` gives, and look-ups above, between and below the thresholds ``(3,)``.

        Raises:
            ConfigError: The shape of `x` does not fit the bank.
        """
        if not FrozenLookup.fits(x, self.config):
            out, found = self.begin_step(x, outputs=outputs)
            return out, found.count_hits(self.config)
        source = self._check_shapes(x, outputs)
        self._move_to(x.device)
        if not self._frozen:
            self._frozen.append(FrozenLookup(self._contents, self.config))
        (frozen,) = self._frozen
        if self._modules == 1:
            return frozen.look_up(x, source)
        rows = modules.split_modules(x, self._modules)
        mixed, counts = frozen.look_up(rows, rows)
        return source if mixed is rows else modules.merge_modules(mixed, self._modules), counts

    def begin_step(
        self, x: Tensor, *, outputs: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, LookupResult]:
        """Look up one part of a step: its output, and what `update` needs to store its tokens.

        A step may arrive in several parts. Each part is looked up by itself, in the bank as it was
        before the step; `update` takes them all when the step is complete.

        Args:
            x: Activations ``(batch, C, features)``.
            outputs: What the block makes of them ``(batch, C, width)``, with
                ``values="outputs"``.
            mask: True for tokens, False for padding ``(batch, C)``.

        Returns:
            The source, which is `x` or `outputs`, with the memory mixed in, and what was found.
            With ``blend=0`` it is the source itself.

        Raises:
            ConfigError: The shape of `x` does not fit the bank.
        """
        source = self._check_shapes(x, outputs)
        self._move_to(x.device)
        clean = modules.split_modules(_zero_padding(x, mask), self._modules)
        mixed = clean if source is x else _zero_padding(source, mask)
        live = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        live = modules.repeat_per_module(live, self._modules)
        bank = self._contents
        # Under autocast the products would run in half precision and flip decisions.
        with torch.autocast(x.device.type, enabled=False):
            with torch.no_grad():
                own = clean.detach()
                found = look_up_tokens(
                    own, bank.keys, self._inverse, bank.filled, self.config, live
                )
                if source is not x:
                    found = replace(found, source=mixed.detach().float())
                if self.config.preserve_norm and self.config.blend > 0:
                    found = preserve_norms(found, bank.values, self.config)
            if self.config.blend == 0:
                return source, found
            out = modules.merge_modules(blend_values(found, mixed, bank.values), self._modules)
        return (out if mask is None else torch.where(mask[..., None], out, source)), found

    look = begin_step  # its name in the first release

    @torch.no_grad()
    def update(self, *parts: LookupResult, positions: Tensor) -> None:
        """Complete a step: store the tokens of all its parts at once.

        Args:
            *parts: What `look` found, in order of the tokens.
            positions: Position of each token in its sequence ``(batch, C)``, over all parts.
        """
        found = join_results(parts)
        rule, device = UPDATES[self.config.rule], found.x.device
        positions = modules.repeat_per_module(positions.to(device), self._modules)
        with torch.autocast(device.type, enabled=False):
            self._set_contents(rule(self._contents, found, positions, self.config))

    def reset(self) -> None:
        """Empty the bank."""
        self._empty_bank(self._contents.keys.device)

    def state(self) -> dict[str, Tensor]:
        """Return ``keys values usage filled written``, shared and never written in place.

        With ``similarity="experts"`` all of them have a second dimension, the modules.
        """
        whole = self._contents.to_dict()
        if self.config.similarity == "full":
            return whole
        return {name: t.unflatten(0, (self.batch, self._modules)) for name, t in whole.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over tensors that `state` gave; positions count on from the last one written.

        Raises:
            ConfigError: A tensor is missing or has another shape than this bank's.
        """
        device = self._contents.keys.device
        loaded = {}
        for name, own in self.state().items():
            given = state.get(name)
            if given is None or given.shape != own.shape:
                shape = None if given is None else tuple(given.shape)
                raise ConfigError(f"bank state {name!r} must be {tuple(own.shape)}, got {shape}")
            loaded[name] = given.to(device, own.dtype)
        self._seen = loaded["written"].flatten(1).amax(1) + 1
        if self.config.similarity == "experts":
            loaded = {name: t.flatten(0, 1) for name, t in loaded.items()}
        self._set_contents(BankState(**loaded))

    def clone(self) -> ActivationMemoryBank:
        """Return an independent bank of the same contents; tensors are shared till one changes."""
        twin = ActivationMemoryBank.__new__(ActivationMemoryBank)
        twin.__dict__.update(self.__dict__)
        return twin

    def _empty_bank(self, device: torch.device | str | None) -> None:
        rows = self.batch * self._modules
        widths = self.features // self._modules, self.width // self._modules
        self._set_contents(BankState.create_empty(rows, self.config.slots, *widths, device))
        self._seen = torch.zeros(self.batch, dtype=torch.int64, device=device)

    def _set_contents(self, contents: BankState) -> None:
        self._contents, self._inverse = contents, contents.inverse_key_norms()
        self._frozen: list[FrozenLookup] = []  # none or one; a list, so that clones share it

    def _move_to(self, device: torch.device) -> None:
        if self._contents.keys.device != device:
            self._set_contents(self._contents.to(device))

    def _token_positions(self, first: int | Tensor, live: Tensor) -> Tensor:
        count = live.to(torch.int64).cumsum(1) - 1
        return count + (first.to(live.device)[:, None] if isinstance(first, Tensor) else first)

    def _check_shapes(self, x: Tensor, outputs: Tensor | None) -> Tensor:
        """Return what the memory is mixed into: the activations, or the outputs."""
        if x.ndim != 3 or x.shape[0] != self.batch or x.shape[2] != self.features:
            shape = (self.batch, "C", self.features)
            raise ConfigError(f"activations must be {shape}, got {tuple(x.shape)}")
        if self.config.values == "activations":
            return x
        if outputs is None or outputs.shape != (*x.shape[:2], self.width):
            given = None if outputs is None else tuple(outputs.shape)
            raise ConfigError(f"outputs must be {(*x.shape[:2], self.width)}, got {given}")
        return outputs


def _zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the tensor with zeros for padding, which may hold anything."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0.0)
