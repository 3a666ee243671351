"""Attention sinks and a sliding window, with a fixed state for what leaves them.

The token at position t attends to the first S tokens and to the positions in (t - W, t]. The token
at t - W leaves the window with it: it is written into the state, and t reads the state right after.
So every earlier token is seen in exactly one way, whatever the chunks, and what a layer holds does
not grow. Keys keep their positions. Beyond the length that a model was trained for, the first
tokens are seen from that length, not from further away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pace_integrations.ahn import AHNConfig, ArtificialHippocampus
from pace_integrations.errors import SessionFileError
from pace_integrations.model._transformers import CacheLayer

BLOCK = 256  # most queries that attend at a time
SCORES = 2**24  # most of their scores

# Queries (batch, heads, tokens, size) and how far each moves (tokens,), to queries.
Turn = Callable[[Tensor, Tensor], Tensor]


@dataclass(eq=False)
class AttentionSite:
    """The place of a network in the model: one layer's attention.

    Attributes:
        network: The layer's network; None is the bare window.
        turn: Moves queries to other positions.
        limit: Length that the model was trained for.
        input: What the attention got in the forward under way ``(batch, tokens, D)``.
    """

    network: ArtificialHippocampus | None
    turn: Turn
    limit: int
    input: Tensor | None = None

    def take_input(self) -> Tensor:
        """Return what the attention got, and let go of it."""
        given, self.input = self.input, None
        assert given is not None, "the layer's attention was not called"
        return given


class HippocampusLayer(CacheLayer):
    """One layer's first tokens, its window, and the state of what left.

    No tensor is ever written to, so a fork shares them all.

    Args:
        site: The layer's place in the model.
        config: Sinks and window.
    """

    def __init__(self, site: AttentionSite, config: AHNConfig) -> None:
        super().__init__()
        self._site = site
        self._config = config
        self._seen = 0
        # Keys and values of the first tokens, then of the window, and the gates of the window.
        self._held: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self._gates: tuple[Tensor, Tensor] | None = None
        self._state: Tensor | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take type, device and shape from the first tokens."""
        self.dtype, self.device = key_states.dtype, key_states.device
        keys, values = key_states[:, :, :0], value_states[:, :, :0]
        self._held = (keys, values, keys, values)
        self.is_initialized = True

    def update(  # type: ignore[override]  # a view stands in for the keys
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[FreshKeys, Tensor]:
        """Return keys that know this layer, and values; `FreshKeys.attend` takes them in."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return FreshKeys(self, key_states), value_states

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Take tokens in and attend from them.

        Args:
            query: ``(batch, heads, tokens, size)``.
            key: ``(batch, key heads, tokens, size)``.
            value: Likewise.
            scale: Factor of the scores.

        Returns:
            Attention with what the state gives ``(batch, heads, tokens, size)``.
        """
        assert self._held is not None
        config, network = self._config, self._site.network
        first_keys, first_values, keys, values = self._held
        oldest = max(config.sinks, self._seen - config.window)  # position of the first in `keys`
        head = min(max(0, config.sinks - self._seen), key.shape[2])
        if head:
            first_keys = torch.cat([first_keys, key[:, :, :head]], dim=2)
            first_values = torch.cat([first_values, value[:, :, :head]], dim=2)
        keys = torch.cat([keys, key[:, :, head:]], dim=2)
        values = torch.cat([values, value[:, :, head:]], dim=2)
        held = (first_keys, first_values, keys, values)
        out = self._attend_held(query, held, oldest, scale)
        gone = max(0, self._seen + key.shape[2] - config.window - oldest)
        if network is not None:
            out = self._pass_on(network, query, out, keys, values, head, gone)
        if gone:
            keys, values = keys[:, :, gone:], values[:, :, gone:]
            if key.shape[2] > 1:  # a view would keep the whole chunk in memory
                keys, values = keys.contiguous(), values.contiguous()
        self._held = (first_keys, first_values, keys, values)
        self._seen += key.shape[2]
        return out

    def _pass_on(
        self,
        network: ArtificialHippocampus,
        query: Tensor,
        out: Tensor,
        keys: Tensor,
        values: Tensor,
        head: int,
        gone: int,
    ) -> Tensor:
        """Write the first `gone` keys of the window into the state, and add what is read."""
        x = self._site.take_input()
        gates = network.fn.compute_gates(x[:, head:])
        if self._gates is not None:
            gates = tuple(torch.cat(pair, dim=2) for pair in zip(self._gates, gates, strict=True))  # type: ignore[assignment]  # two of them
        if gone:
            groups = query.shape[1] // keys.shape[1]
            read, self._state = network.chunk(
                query[:, :, -gone:],
                keys[:, :, :gone].repeat_interleave(groups, dim=1),
                values[:, :, :gone].repeat_interleave(groups, dim=1),
                x[:, -gone:],
                self._state,
                gates=(gates[0][..., :gone], gates[1][..., :gone]),
            )
            stays = out.shape[2] - gone
            out = torch.cat([out[:, :, :stays], out[:, :, stays:] + read.to(out.dtype)], dim=2)
        self._gates = (gates[0][..., gone:].contiguous(), gates[1][..., gone:].contiguous())
        return out

    def _attend_held(
        self, query: Tensor, held: tuple[Tensor, Tensor, Tensor, Tensor], oldest: int, scale: float
    ) -> Tensor:
        """Return the attention of new tokens to the first ones and to their windows."""
        first_keys, first_values, keys, values = held
        window, done = self._config.window, []
        for start, part in self._iter_blocks(query, first_keys.shape[2]):
            stop = start + part.shape[2]
            low = max(0, start - window + 1 - oldest)
            high = max(low, stop - oldest)
            places = torch.arange(start, stop, device=query.device)[:, None]
            ahead = torch.arange(first_keys.shape[2], device=query.device) > places
            between = places - torch.arange(oldest + low, oldest + high, device=query.device)
            hidden = torch.cat([ahead, (between < 0) | (between >= window)], dim=1)
            scores = [
                _score_keys(self._approach(part, start), first_keys),
                _score_keys(part, keys[:, :, low:high]),
            ]
            weights = torch.cat(scores, dim=-1).float() * scale
            weights = weights.masked_fill(hidden, float("-inf")).softmax(-1).to(values.dtype)
            near, size = weights[..., : first_keys.shape[2]], first_keys.shape[2]
            out = _weigh_values(near, first_values)
            done.append(out + _weigh_values(weights[..., size:], values[:, :, low:high]))
        return torch.cat(done, dim=2)

    def _iter_blocks(self, query: Tensor, first: int) -> Iterator[tuple[int, Tensor]]:
        """Yield queries in blocks, each with the position of its first."""
        batch, heads = query.shape[:2]
        fit = SCORES // (batch * heads * (first + self._config.window + BLOCK))
        start = self._seen
        for part in query.split(max(1, min(BLOCK, fit)), dim=2):
            yield start, part
            start += part.shape[2]

    def _approach(self, query: Tensor, start: int) -> Tensor:
        """Return queries from which the first tokens are no further than the model has seen."""
        last = start + query.shape[2] - 1
        if last < self._site.limit:
            return query
        places = torch.arange(start, last + 1, device=query.device)
        return self._site.turn(query, (self._site.limit - 1 - places).clamp(max=0))

    def fork(self) -> HippocampusLayer:
        """Return a layer that continues from this one and leaves it as it is."""
        twin = HippocampusLayer(self._site, self._config)
        twin.is_initialized = self.is_initialized
        if self.is_initialized:
            twin.dtype, twin.device = self.dtype, self.device
        twin._seen, twin._held = self._seen, self._held
        twin._gates, twin._state = self._gates, self._state
        return twin

    def get_seq_length(self) -> int:
        """Return the number of tokens seen, which is the position of the next one."""
        return self._seen

    def list_tensors(self) -> dict[str, Tensor]:
        """Return everything that it holds, by name."""
        if self._held is None:
            return {}
        names = ("first_keys", "first_values", "keys", "values")
        named = dict(zip(names, self._held, strict=True)) | {"seen": torch.tensor(self._seen)}
        if self._gates is not None:
            named |= dict(zip(("decay", "write"), self._gates, strict=True))
        return named if self._state is None else named | {"state": self._state}

    def load_tensors(self, named: Mapping[str, Tensor]) -> None:
        """Take over what `list_tensors` gave.

        Raises:
            SessionFileError: Tensors are missing, or do not fit each other or this layer.
        """
        try:
            held = [named[name] for name in ("first_keys", "first_values", "keys", "values")]
            seen, gates, state = int(named["seen"]), named.get("decay"), named.get("state")
            write = named.get("write")
        except (KeyError, ValueError, RuntimeError) as error:
            raise SessionFileError(f"the saved window lacks {error}") from error
        first = min(seen, self._config.sinks)
        recent = min(max(0, seen - self._config.sinks), self._config.window)
        network, lengths = self._site.network, [t.shape[2] if t.ndim == 4 else -1 for t in held]
        fits = lengths == [first, first, recent, recent]
        fits &= len({(t.dtype, *t.shape[:2]) for t in held}) == 1
        if network is not None:
            empty = network.new_state()
            gate = (1, network.fn.heads, recent)
            fits &= gates is not None and write is not None
            fits &= all(t is None or tuple(t.shape) == gate for t in (gates, write))
            fits &= (state is not None) == (seen > self._config.lossless)
            fits &= state is None or (state.shape, state.dtype) == (empty.shape, empty.dtype)
        if not fits:
            raise SessionFileError(f"the saved window of {seen} tokens does not fit {self._config}")
        self.lazy_initialization(held[0], held[1])
        self._held = (held[0], held[1], held[2], held[3])
        self._gates = None if gates is None or write is None else (gates, write)
        self._seen, self._state = seen, state


@dataclass(frozen=True, slots=True)
class FreshKeys:
    """Keys of the forward under way, and the layer that they go to.

    Attributes:
        layer: The layer.
        keys: ``(batch, key heads, tokens, size)``.
    """

    layer: HippocampusLayer
    keys: Tensor

    def attend(self, query: Tensor, value: Tensor, scale: float) -> Tensor:
        """Take the tokens in and attend from them (see `HippocampusLayer.attend`)."""
        return self.layer.attend(query, self.keys, value, scale)


def _score_keys(query: Tensor, key: Tensor) -> Tensor:
    """Return products ``(batch, key heads, group, queries, tokens)``; a group shares a key head."""
    grouped: Tensor = query.unflatten(1, (key.shape[1], -1))
    return grouped @ key[:, :, None].mT


def _weigh_values(weights: Tensor, value: Tensor) -> Tensor:
    """Return weighted values ``(batch, heads, queries, size)``."""
    return (weights @ value[:, :, None]).flatten(1, 2)
