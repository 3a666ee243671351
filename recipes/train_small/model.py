"""The model in training: a frozen base, low-rank adapters, and a forward that sees by segments.

The forward computes what Transformers computes over the same parameters, but fuses projections,
takes any mask and any positions, and can stop at the layer whose keys are the index of pages.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from transformers import AutoModelForCausalLM, PreTrainedModel

from recipes.train_small.adapter import ATTENTION, FEED_FORWARD, Adapter
from recipes.train_small.rows import Piece

LONG = 640  # tokens from which on the fused attention of the CPU pays


class Traced(NamedTuple):
    """What a forward gives.

    Args:
        hidden: Final hidden states, `(batch, length, hidden)`; those of the last layer read when
            it stopped early.
        queries: Unrotated queries of the index layers, `(batch, length, layers x kv_heads, head)`.
        keys: Unrotated keys of the same layers and shape.
    """

    hidden: Tensor
    queries: Tensor
    keys: Tensor


Project = Callable[[str, Sequence[str], Tensor], list[Tensor]]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Turn = tuple[Tensor, Tensor]


def load_base(folder: Path) -> PreTrainedModel:
    """Return the frozen base in bfloat16."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.requires_grad_(False).eval()
    return model


def rotation(
    positions: Tensor, head: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines of the rotary embedding, `(length, head)` each."""
    exponents = torch.arange(0, head, 2, device=positions.device).float()
    frequency = theta ** (-exponents / head)
    angle = torch.outer(positions.float(), frequency)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)


class _Adapted(torch.autograd.Function):
    """Linear layers over one input, their low-rank differences fold_spaces into the weights.

    Folding saves the low-rank branch in the forward; the backward gives gradients to the
    low-rank factors alone, at the cost of low-rank products.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, linear: "_Linear", *factors: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.linear = linear  # type: ignore[attr-defined]
        return x @ linear.fold_spaces.t()

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,), linear = ctx.saved_tensors, ctx.linear  # type: ignore[attr-defined]
        wide, flat = grad.flatten(0, -2), x.flatten(0, -2)
        low = (flat @ linear.low_down.t()).split(linear.rank, -1)
        parts = wide.split(linear.sizes, -1)
        ups = [(g.t() @ z).float() * linear.scale for g, z in zip(parts, low, strict=True)]
        back = [g @ u for g, u in zip(parts, linear.low_up, strict=True)]
        downs = (torch.cat(back, -1).t() @ flat).float().split(linear.rank)
        return (grad @ linear.fold_spaces, None, *downs, *ups)


class _Linear:
    """Linear layers that share their input."""

    def __init__(
        self,
        weights: list[Tensor],
        downs: list[nn.Parameter],
        ups: list[nn.Parameter],
        scale: float,
    ) -> None:
        self.sizes, self.rank, self.scale = [w.shape[0] for w in weights], downs[0].shape[0], scale
        self._weight, self._downs, self._ups = torch.cat(weights), downs, ups
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Fold the differences into the weights."""
        dtype = self._weight.dtype
        self.low_down = torch.cat([d.to(dtype) for d in self._downs])
        self.low_up = [(u * self.scale).to(dtype) for u in self._ups]
        pairs = zip(self._ups, self._downs, strict=True)
        difference = torch.cat([up @ down for up, down in pairs]) * self.scale
        self.fold_spaces = (self._weight.float() + difference).to(dtype)

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return what each layer gives."""
        together = _Adapted.apply(x, self, *self._downs, *self._ups)  # type: ignore[no-untyped-call]
        return list(together.split(self.sizes, -1))


class LayerReader:
    """What readers of rows share: the layers of a base, under any projections and attention.

    Args:
        base: The frozen base, of the Llama architecture, on the device that computes.
        adapter: Its low-rank differences, on the same device.
        layers: Layers whose keys are the index of pages.
    """

    def __init__(self, base: PreTrainedModel, adapter: Adapter, layers: tuple[int, ...]) -> None:
        config = base.config
        self.adapter, self.index_layers = adapter, layers
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head, self.depth = config.head_dim, config.num_hidden_layers
        self.epsilon, self.theta = config.rms_norm_eps, config.rope_parameters["rope_theta"]
        self._weights = dict(base.named_parameters())
        self.embedding = self._weights["model.embed_tokens.weight"]

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 logits of some hidden states."""
        return (hidden @ self.embedding.t()).float()

    def _run_layers(
        self, ids: Tensor, project: Project, attend: Attend, turn: Turn, depth: int | None
    ) -> Traced:
        """Read token ids.

        Args:
            ids: Token ids, `(batch, length)`.
            project: Gives the outputs of linear layers that share a stem and their input.
            attend: Gives attention over rotated queries, keys and values, all `(batch, heads,
                length, head)`.
            turn: Cosines and signed sines of the rotary embedding, as they multiply those.
            depth: Number of layers to read; all of them when None.
        """
        x = nn.functional.embedding(ids, self.embedding)
        queries, keys = [], []
        depth = self.depth if depth is None else depth
        for i in range(depth):
            stem = f"model.layers.{i}"
            normed = self._norm(x, f"{stem}.input_layernorm")
            q, k, v = project(f"{stem}.self_attn", ATTENTION[:3], normed)
            if i in self.index_layers:
                queries.append(q)
                keys.append(k)
            mixed = (
                attend(*self._split_heads(q, k, v, turn)).transpose(1, 2).reshape(*ids.shape, -1)
            )
            x = x + project(f"{stem}.self_attn", ATTENTION[3:], mixed)[0]
            normed = self._norm(x, f"{stem}.post_attention_layernorm")
            gate, up = project(f"{stem}.mlp", FEED_FORWARD[:2], normed)
            gated = nn.functional.silu(gate) * up
            x = x + project(f"{stem}.mlp", FEED_FORWARD[2:], gated)[0]
        if depth == self.depth:
            x = self._norm(x, "model.norm")
        vectors = partial(index_vectors, kv_heads=self.kv_heads, head=self.head)
        return Traced(x, vectors(queries, grouped=True), vectors(keys, grouped=False))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight = self._weights[f"{name}.weight"]
        return nn.functional.rms_norm(x, x.shape[-1:], weight, self.epsilon)

    def _split_heads(
        self, q: Tensor, k: Tensor, v: Tensor, turn: Turn
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Part the heads, rotate queries and keys, and repeat what a group of heads shares."""
        batch, length, _ = q.shape
        q, k, v = (t.view(batch, length, -1, self.head).transpose(1, 2) for t in (q, k, v))
        q, k = _rotated(q, *turn), _rotated(k, *turn)
        # Grouped heads are repeated by hand: the fast kernels of the CPU know only equal counts.
        groups = self.heads // self.kv_heads
        return q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)


class Reader(LayerReader):
    """Reads rows stretch by stretch, which is fast on a core."""

    def __init__(self, base: PreTrainedModel, adapter: Adapter, layers: tuple[int, ...]) -> None:
        super().__init__(base, adapter, layers)
        self._linear: dict[str, _Linear] = {}
        for i in range(self.depth):
            for block, *groups in (
                ("self_attn", ATTENTION[:3], ATTENTION[3:]),
                ("mlp", FEED_FORWARD[:2], FEED_FORWARD[2:]),
            ):
                for names in groups:
                    stem = f"model.layers.{i}.{block}"
                    paths = [f"{stem}.{name}" for name in names]
                    self._linear[f"{stem}.{names[0]}"] = _Linear(
                        [self._weights[f"{path}.weight"] for path in paths],
                        [adapter.down[path.replace(".", "/")] for path in paths],
                        [adapter.up[path.replace(".", "/")] for path in paths],
                        adapter.scale,
                    )

    def refresh(self) -> None:
        """Take up changes of the adapter; called after every step."""
        for linear in self._linear.values():
            linear.refresh()

    def read(
        self, ids: Tensor, positions: Tensor, pieces: Sequence[Piece], depth: int | None = None
    ) -> Traced:
        """Read token ids.

        Args:
            ids: Token ids, `(batch, length)`.
            positions: Position of each token, `(length,)`.
            pieces: Stretches of queries with the keys they see, in order; all is causal when
                there is none.
            depth: Number of layers to read; all of them when None.
        """
        pieces = pieces or [Piece((0, ids.shape[1]), ((0, ids.shape[1]),))]
        turn = rotation(positions, self.head, self.theta, self.embedding.dtype)
        return self._run_layers(ids, self._project, partial(_attend, pieces), turn, depth)

    def _project(self, stem: str, names: Sequence[str], x: Tensor) -> list[Tensor]:
        return self._linear[f"{stem}.{names[0]}"](x)


def _attend(pieces: Sequence[Piece], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend from each stretch to the keys that it sees."""
    # Cut once: slices of slices would each fill a gradient of the whole length.
    sizes = [end - begin for begin, end in (piece.queries for piece in pieces)]
    parts = zip(*(t.split(sizes, 2) for t in (q, k, v)), strict=True)
    cut = {piece.queries[0]: part for piece, part in zip(pieces, parts, strict=True)}
    return torch.cat([_seen(cut, piece) for piece in pieces], 2)


def index_vectors(tensors: Sequence[Tensor], kv_heads: int, head: int, *, grouped: bool) -> Tensor:
    """Part the heads of some layers' queries or keys, and join the layers.

    Args:
        tensors: `(batch, length, heads x head)` of each layer.
        kv_heads: Number of key heads.
        head: Size of a head.
        grouped: Whether they are queries, of which those that share a key head are averaged.
    """
    parts = []
    for x in tensors:
        x = x.view(*x.shape[:2], kv_heads, -1, head)
        parts.append(x.mean(3) if grouped else x[..., 0, :])
    if not parts:
        return torch.empty(0)
    return nn.functional.normalize(torch.cat(parts, 2).float(), dim=-1)


def _seen(cut: Mapping[int, tuple[Tensor, Tensor, Tensor]], piece: Piece) -> Tensor:
    """Attend from one stretch to the keys that it sees.

    Args:
        cut: Queries, keys and values, `(batch, heads, length, head)`, of every stretch by its
            begin.
        piece: The stretch.
    """
    begin, end = piece.queries
    q = cut[begin][0]
    seen = [part for at, part in cut.items() if any(a <= at < b for a, b in piece.keys)]
    k, v = (torch.cat([part[i] for part in seen], 2) for i in (1, 2))
    if piece.mask is None and len(seen) == 1 and end - begin > LONG:
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    # For short stretches plain products are several times as fast as the fused kernel of the CPU.
    scores = q @ (k.transpose(2, 3) * k.shape[-1] ** -0.5)
    mask = piece.mask
    if mask is None:
        shape = (end - begin, k.shape[2])
        mask = torch.ones(shape, dtype=torch.bool).tril_(shape[1] - shape[0])
    mixed: Tensor = scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v
    return mixed


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to `(batch, heads, length, head)`."""
    return x * cos + torch.roll(x, x.shape[-1] // 2, -1) * sin
